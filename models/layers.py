"""All layers under one name: ``from bitexpert.models.layers import ExpertConv2d``."""

from .arithmetic import ChannelBias, ChannelMix, ChannelScale, RisingPReLU, RPReLU, SqueezeExcite
from .binary import BinaryConv2d, BinaryLinear, PadMode, use_real_weights
from .block import BinaryBlock, batchnorm_affine, snap_batchnorm
from .bnext import BNextBlock, BNextUnit
from .ebnet import Downsample, ExpertBlock, ExpertUnit
from .expert import EXPERT_DOMAIN, BlockOutput, ExpertConv2d
from .gate import ExpertGate, GateSource, integer_experts, winner_take_all
from .quant import BinaryActivation, BipolarWeight, InputQuantizer, binarize, clip_latent_weights
from .resnet import ResidualUnit, Shortcut
from .shrink import ExpandShrink, tile_channels
from .sign_conv import SignConv2d
from .stems import Classifier, DabnnStem, Stem, make_stem
from .stream import IntegerClassifier, IntegerConv2d, StreamNorm, StreamQuantizer

__all__ = [
    "EXPERT_DOMAIN",
    "BNextBlock",
    "BNextUnit",
    "BinaryActivation",
    "BinaryBlock",
    "BinaryConv2d",
    "BinaryLinear",
    "BipolarWeight",
    "BlockOutput",
    "ChannelBias",
    "ChannelMix",
    "ChannelScale",
    "Classifier",
    "DabnnStem",
    "Downsample",
    "ExpandShrink",
    "ExpertBlock",
    "ExpertConv2d",
    "ExpertGate",
    "ExpertUnit",
    "GateSource",
    "InputQuantizer",
    "IntegerClassifier",
    "IntegerConv2d",
    "PadMode",
    "RPReLU",
    "ResidualUnit",
    "RisingPReLU",
    "Shortcut",
    "SignConv2d",
    "SqueezeExcite",
    "Stem",
    "StreamNorm",
    "StreamQuantizer",
    "batchnorm_affine",
    "binarize",
    "clip_latent_weights",
    "integer_experts",
    "make_stem",
    "snap_batchnorm",
    "tile_channels",
    "use_real_weights",
    "winner_take_all",
]
