"""What all networks share: the config of their input and output, and what training asks of them."""

from collections.abc import Iterator
from typing import Self, cast

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from ..errors import BitexpertError
from .cost import NetworkCost, count
from .expert import BlockOutput, ExpertConv2d

__all__ = ["BinaryNetwork", "ImageConfig", "NetworkError", "check_sides", "class_numbers"]


class NetworkError(BitexpertError):
    """A network's name or config is wrong; the message names the key and what to do."""


def class_numbers(count: int) -> tuple[str, ...]:
    """``("0", "1", ...)``: names for classes that have none."""
    return tuple(map(str, range(count)))


class ImageConfig(BaseModel):
    """What every network is told of its images.

    Attributes
    ----------
    channels, height, width : int
        The input image; pixels are the integers 0..255.
    class_names : tuple of str
        One for each score.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: int = Field(default=3, ge=1, le=64)
    height: int = Field(default=32, ge=1, le=1024)
    width: int = Field(default=32, ge=1, le=1024)
    class_names: tuple[str, ...] = Field(default=class_numbers(10), min_length=2)


def check_sides(config: ImageConfig, divisor: int) -> None:
    """Raise ValueError unless a divisor leaves no rest of an image's sides: integers have no mean of a cut window."""
    if config.height % divisor or config.width % divisor:
        raise ValueError(
            f"stream 'integer' needs images whose sides {divisor} divides, not {config.height} x {config.width}"
        )


class BinaryNetwork(nn.Module):
    """Base of the networks: ``[B, C, H, W]`` pixels 0..255 to ``[B, classes]`` scores.

    Parameters
    ----------
    config : ImageConfig
        The layout; each network has its own kind of config.

    Attributes
    ----------
    name : str
        Under which `build_network` makes it from its config.
    """

    name: str

    def __init__(self, config: ImageConfig) -> None:
        super().__init__()
        self.config = config

    def cost(self) -> NetworkCost:
        """What the network costs for one image, see `count`."""
        with torch.device("meta"):
            twin = type(self)(self.config)
        return count(twin, (self.config.channels, self.config.height, self.config.width))

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image, binary or not; experts don't multiply them, gates aren't counted."""
        return sum(layer.bops + layer.macs for layer in self.cost().layers if layer.kind != "gate")

    def experts(self) -> Iterator[tuple[str, ExpertConv2d]]:
        """Name and layer of every expert convolution, in order."""
        for name, module in self.named_modules():
            if isinstance(module, ExpertConv2d):
                yield name, module

    def stage_modules(self) -> list[nn.Module]:
        """The network's stages, in order: behind each of them a teacher's attention is compared."""
        return list(cast(nn.Sequential, self.stages))

    def head_scale(self) -> float:
        """Factor on the scores with which a training begins."""
        return 1.0

    @torch.no_grad()
    def normalize_gates(self, x: Tensor) -> None:
        """Shift and scale the logits of every gate so that on these images no expert is left out.

        Parameters
        ----------
        x : Tensor
            Pixels ``[B, C, H, W]``.
        """
        was_training = self.training
        self.eval()
        # Front to back: which expert an image gets decides what the next gate sees.
        for _, layer in self.experts():
            means: list[Tensor] = []

            def note(layer: ExpertConv2d, args: tuple[BlockOutput], means: list[Tensor] = means) -> None:
                means.append(layer.gate_means(args[0]))

            handle = layer.register_forward_pre_hook(note)
            try:
                for part in x.split(256):
                    self(part)
            finally:
                handle.remove()
            layer.gate.normalize(torch.cat(means))
        self.train(was_training)

    @property
    def frozen(self) -> bool:
        """Whether every gate has its integer form."""
        return all(layer.gate.frozen for _, layer in self.experts())

    def freeze(self) -> Self:
        """Set the network to eval mode, and what has an integer form to that form, in place.

        A network with a real-valued residual stream has none: it stays as it is, and the export refuses it.
        """
        return self.eval()
