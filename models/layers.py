"""All layers under one name: ``from bitexpert.models.layers import ExpertConv2d``."""

from .binary import BinaryConv2d, BinaryLinear, PadMode
from .block import BinaryBlock, batchnorm_affine, snap_batchnorm
from .expert import EXPERT_DOMAIN, BlockOutput, ExpertConv2d
from .gate import ExpertGate, GateSource, integer_experts, winner_take_all
from .quant import BinaryActivation, BipolarWeight, InputQuantizer, binarize, clip_latent_weights
from .shrink import ExpandShrink, tile_channels

__all__ = [
    "EXPERT_DOMAIN",
    "BinaryActivation",
    "BinaryBlock",
    "BinaryConv2d",
    "BinaryLinear",
    "BipolarWeight",
    "BlockOutput",
    "ExpandShrink",
    "ExpertConv2d",
    "ExpertGate",
    "GateSource",
    "InputQuantizer",
    "PadMode",
    "batchnorm_affine",
    "binarize",
    "clip_latent_weights",
    "integer_experts",
    "snap_batchnorm",
    "tile_channels",
    "winner_take_all",
]
