"""Frozen networks as packed signs and small integers: one file, read without running any code from it.

The file is a .npz archive without compression, so that the same network gives the same bytes everywhere:

* ``header``: JSON in UTF-8: the format and its version, the network's name and its config.
* ``LAYER.weight``: the signs of a binary layer in the order of its weight tensor, 8 to a byte, the first in the highest
  bit, 1 for +1. The banks of an expert layer lie one behind the other.
* ``BLOCK.bn.threshold`` and ``BLOCK.bn.rising``: for each channel the integer ``t`` and a bit; a rising channel is +1
  where the accumulator is above ``t``, a falling one where it is not.
* ``LAYER.gate.weight`` and ``LAYER.gate.bias``: the integers of a gate.
* Of a residual network with a stream of integers, besides: the float32 numbers of its normalizations, factors and
  slopes, which the export makes thresholds of, and of the layers with weights of 8 bits, under their names in torch.

Integers have the smallest of the types int8, int16 and int32 that holds them all.
"""

import io
import json
import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...errors import BitexpertError
from ..binary import BinaryWeights
from ..block import BinaryBlock
from ..gate import ExpertGate
from ..network import BinaryNetwork, NetworkError
from ..networks import NETWORKS, build_network
from ..stream import StreamNorm

__all__ = ["FORMAT", "MAX_BYTES", "VERSION", "ZooError", "pack", "unpack"]

FORMAT = "bitexpert-zoo"
VERSION = 1
#: A file is read into memory whole, so it must not be larger.
MAX_BYTES = 16 * 2**20
_MAX_HEADER = 64 * 2**10
_INTEGERS = (np.dtype("int8"), np.dtype("int16"), np.dtype("int32"))


class ZooError(BitexpertError):
    """A network of the zoo can't be packed, found, read or trusted; the message names it and says what to do."""


@dataclass(frozen=True)
class _Form:
    """What an array of the file must be: signs packed 8 to a byte, integers of a range, or finite real numbers."""

    shape: tuple[int, ...]
    low: int = 0
    high: int = 0
    packed: bool = False
    real: bool = False

    @classmethod
    def signs(cls, count: int) -> "_Form":
        return cls((-(-count // 8),), packed=True)

    def problem(self, array: Any) -> str:
        """What is wrong with an array; "" if nothing is."""
        types: tuple[np.dtype, ...] = _INTEGERS
        if self.packed or self.real:
            types = (np.dtype("uint8") if self.packed else np.dtype("float32"),)
        if not isinstance(array, np.ndarray) or array.dtype not in types:
            return f"it isn't an array of {' or '.join(map(str, types))}"
        if array.shape != self.shape:
            return f"its shape is {array.shape}, and the network needs {self.shape}"
        if self.real:
            return "" if np.isfinite(array).all() else "it has values that aren't finite"
        if not self.packed and not self.low <= int(array.min()) <= int(array.max()) <= self.high:
            return f"its values are from {array.min()} to {array.max()}, and must lie in {self.low}..{self.high}"
        if (array.astype(np.float32).astype(np.int64) != array).any():
            return "it has values that float32, in which torch has the gates, can't hold"
        return ""


def _weights(model: nn.Module) -> Iterator[tuple[str, BinaryWeights]]:
    return ((name, m) for name, m in model.named_modules() if isinstance(m, BinaryWeights))


def _blocks(model: nn.Module) -> Iterator[tuple[str, BinaryBlock]]:
    return ((f"{name}.bn", m) for name, m in model.named_modules() if isinstance(m, BinaryBlock))


def _gates(model: nn.Module) -> Iterator[tuple[str, ExpertGate]]:
    return ((name, m) for name, m in model.named_modules() if isinstance(m, ExpertGate))


def _reals(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """What else the state holds, but for counts of batches and what tells that a layer is frozen."""
    held = {f"{name}.weight" for name, _ in _weights(model)}
    for name, part in [*((name, block.bn) for name, block in _blocks(model)), *_gates(model)]:
        held |= set(part.state_dict(prefix=f"{name}."))
    rest = ((key, value) for key, value in model.state_dict().items() if key not in held)
    return ((key, value) for key, value in rest if value.is_floating_point())


def _forms(model: nn.Module) -> dict[str, _Form]:
    """The arrays of a network's file, but the header; the network may lie on the meta device."""
    forms = {f"{name}.weight": _Form.signs(layer.weight.numel()) for name, layer in _weights(model)}
    for name, block in _blocks(model):
        forms[f"{name}.threshold"] = _Form((block.out_channels,), -block.bound - 1, block.bound)
        forms[f"{name}.rising"] = _Form.signs(block.out_channels)
    for name, gate in _gates(model):
        peak = 2 ** (gate.bits - 1) - 1
        forms[f"{name}.weight"] = _Form(tuple(gate.weight_int.shape), -peak, peak)
        forms[f"{name}.bias"] = _Form(tuple(gate.bias_int.shape), 1 - 2**31, 2**31 - 1)
    forms |= {key: _Form(tuple(value.shape), real=True) for key, value in _reals(model)}
    return forms


# -- packing -----------------------------------------------------------------------------------------
def pack(model: nn.Module) -> bytes:
    """The content of a frozen network's file.

    Parameters
    ----------
    model : nn.Module
        A network of the registry made of integers only, after ``freeze()``.

    Returns
    -------
    bytes
        The same for the same network, always.

    Raises
    ------
    ZooError
        If the network has real-valued parts, isn't frozen, or isn't one of the registry.
    """
    name, config = getattr(model, "name", None), getattr(model, "config", None)
    if name not in NETWORKS or config is None:
        raise ZooError("only networks of the registry can be packed; make one with build_network()")
    _check_integers(model)
    header = {
        "format": FORMAT,
        "version": VERSION,
        "network": name,
        "config": config.model_dump(mode="json", exclude_none=True),
    }
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    if len(text) > _MAX_HEADER:
        raise ZooError(f"{name}: its config takes {len(text)} bytes, more than {_MAX_HEADER}; shorten the class names")
    arrays: dict[str, NDArray] = {"header": np.frombuffer(text, np.uint8)}
    for key, layer in _weights(model):
        arrays[f"{key}.weight"] = _pack_signs(f"{key}.weight", layer.used_weight(), layer.weight)
    for key, block in _blocks(model):
        arrays[f"{key}.threshold"], arrays[f"{key}.rising"] = _thresholds(key, block.bn)
    for key, gate in _gates(model):
        if not gate.frozen:
            raise ZooError(f"{key}: this gate is still real-valued; call model.freeze() before packing")
        arrays[f"{key}.weight"], arrays[f"{key}.bias"] = _small(gate.weight_int), _small(gate.bias_int)
    arrays |= {key: value.detach().cpu().numpy() for key, value in _reals(model)}
    for key, form in _forms(model).items():
        if problem := form.problem(arrays[key]):
            raise ZooError(f"{key} can't be packed: {problem}; train again")
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    if content.tell() > MAX_BYTES:
        raise ZooError(f"{name}: packed it takes {content.tell()} bytes, more than {MAX_BYTES}; use fewer channels")
    return content.getvalue()


def _check_integers(model: nn.Module) -> None:
    """Raise ZooError if a network isn't one of integers, or not frozen."""
    if getattr(model.config, "stream", None) == "integer":
        for name, part in model.named_modules():
            if isinstance(part, StreamNorm) and not part.frozen:
                raise ZooError(f"{name}: its slope isn't rounded for good; call model.freeze() before packing")
        return
    for key, _ in _reals(model):
        raise ZooError(
            f"{key}: a packed network is made of signs, thresholds and integer gates, and this is a real-valued "
            "part; pack a network without them (vgg, cnv, es-eb-cnv, or a residual one with stream: integer)"
        )


def _pack_signs(name: str, signs: torch.Tensor, latent: torch.Tensor) -> NDArray[np.uint8]:
    # NaN would binarize to -1 without a word, so look at the real weights too
    if not torch.isfinite(latent).all() or not (signs.abs() == 1).all():
        raise ZooError(f"{name}: its weights aren't all +1 or -1; train their signs, then pack again")
    return np.packbits(signs.detach().cpu().numpy().reshape(-1) > 0)


def _thresholds(name: str, bn: nn.BatchNorm2d) -> tuple[NDArray, NDArray[np.uint8]]:
    """Thresholds and rising bits of a batch normalization that `snap_batchnorm` has been through."""
    slope, offset = bn.weight.detach(), bn.bias.detach()
    mean, var = bn.running_mean, bn.running_var
    if mean is None or var is None:
        raise ZooError(f"{name}: it has no running statistics; build the network with build_network()")
    below = torch.floor(mean)
    is_threshold = (
        (slope.abs() == 1) & (offset == 0) & (mean - below == 0.5) & (var == torch.full_like(var, 1 - bn.eps))
    )
    if not is_threshold.all():
        raise ZooError(f"{name}: this isn't a threshold between two integers yet; call model.freeze() before packing")
    return _small(below), np.packbits(slope.cpu().numpy() > 0)


def _small(values: torch.Tensor) -> NDArray:
    """Integers in the smallest type that holds them all."""
    whole = values.detach().cpu().double().numpy()
    if not np.array_equal(whole, np.rint(whole)) or np.abs(whole).max(initial=0) >= 2**31:
        raise ZooError("a gate or threshold holds numbers that are no integers of 32 bits; train and freeze again")
    low, high = whole.min(initial=0), whole.max(initial=0)
    kind = next(k for k in _INTEGERS if np.iinfo(k).min <= low and high <= np.iinfo(k).max)
    return whole.astype(kind)


# -- unpacking ---------------------------------------------------------------------------------------
def unpack(content: bytes, name: str) -> BinaryNetwork:
    """The network in a file's content.

    Parameters
    ----------
    content : bytes
        What `pack` gave.
    name : str
        The file, for messages.

    Returns
    -------
    BinaryNetwork
        Frozen, in eval mode; its scores are exactly those of the network that was packed. Real-valued weights behind
        the signs and gates, which only training needs, are not in the file.

    Raises
    ------
    ZooError
        If the content is damaged, no packed network, of another version, or doesn't fit its own config.
    """
    arrays = _read_arrays(content, name)
    header = _read_header(arrays.pop("header", None), name)
    try:
        with torch.device("meta"):  # no memory is taken before the arrays are known to fit
            forms = _forms(build_network(header["network"], header["config"]))
    except (NetworkError, TypeError, ValueError) as error:
        raise ZooError(f"{name}: its config makes no network: {error}; get the file again") from error
    if set(arrays) != set(forms):
        odd = min(set(arrays) ^ set(forms))
        what = "is missing" if odd in forms else "has no place in the network"
        raise ZooError(f"{name}: the array {odd!r} {what}; get the file again")
    for key, form in forms.items():
        if problem := form.problem(arrays[key]):
            raise ZooError(f"{name}: the array {key!r} is wrong: {problem}; get the file again")
    # The random start is overwritten: leave the caller's generator alone.
    with torch.random.fork_rng(devices=[]):
        model = build_network(header["network"], header["config"])
    _fill(model, arrays)
    return model.eval()


def _read_arrays(content: bytes, name: str) -> dict[str, Any]:
    if len(content) > MAX_BYTES:
        raise ZooError(f"{name}: {len(content)} bytes are too many for a packed network (at most {MAX_BYTES})")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as parts:
            members = parts.infolist()
        # members that are compressed, or lie over each other, could need any amount of memory
        compressed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
        if compressed or sum(member.file_size for member in members) > len(content):
            raise ZooError(f"{name}: its parts are compressed or lie over each other; get the file again")
        archive = np.load(io.BytesIO(content), allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("a single array")
        with archive:
            return {key: archive[key] for key in archive.files}
    except ZooError:
        raise
    except (
        zipfile.BadZipFile,
        struct.error,
        ValueError,
        OSError,
        EOFError,
        KeyError,
        RuntimeError,
        SyntaxError,
        MemoryError,
    ) as error:
        raise ZooError(f"{name}: this is no packed network, or it is damaged; get the file again") from error


def _read_header(array: Any, name: str) -> dict[str, Any]:
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim != 1 or array.size > _MAX_HEADER:
        raise ZooError(f"{name}: this .npz file has no header of a packed network; make one with `bitexpert zoo add`")
    try:
        header = json.loads(array.tobytes())
    except (ValueError, RecursionError) as error:
        raise ZooError(f"{name}: its header is damaged; get the file again") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ZooError(f"{name}: this is no packed network; make one with `bitexpert zoo add`")
    if header.get("version") != VERSION:
        raise ZooError(
            f"{name}: format version {header.get('version')!r}, but this bitexpert reads version {VERSION}; "
            "use the bitexpert that wrote it, or add the network again"
        )
    if not isinstance(header.get("network"), str) or not isinstance(header.get("config"), dict):
        raise ZooError(f"{name}: its header lacks the network or its config; get the file again")
    return header


@torch.no_grad()
def _fill(model: nn.Module, arrays: Mapping[str, NDArray]) -> None:
    for key, layer in _weights(model):
        layer.weight.copy_(_signs(arrays[f"{key}.weight"], tuple(layer.weight.shape)))
    for key, block in _blocks(model):
        bn = block.bn
        bn.weight.copy_(_signs(arrays[f"{key}.rising"], tuple(bn.weight.shape)))
        bn.bias.zero_()
        bn.get_buffer("running_mean").copy_(torch.from_numpy(arrays[f"{key}.threshold"].astype(np.float64) + 0.5))
        bn.get_buffer("running_var").fill_(1.0 - bn.eps)
    for key, gate in _gates(model):
        gate.weight_int.copy_(torch.from_numpy(arrays[f"{key}.weight"]))
        gate.bias_int.copy_(torch.from_numpy(arrays[f"{key}.bias"]))
        gate.frozen_flag.fill_(True)
        # only training looks at these; random numbers would make two readings of a file differ
        for parameter in gate.linear.parameters():
            parameter.zero_()
    for key, value in _reals(model):
        value.copy_(torch.from_numpy(arrays[key]))
    for part in model.modules():
        if isinstance(part, StreamNorm):
            part.frozen_flag.fill_(True)


def _signs(packed: NDArray[np.uint8], shape: tuple[int, ...]) -> torch.Tensor:
    bits = np.unpackbits(packed, count=prod(shape)).reshape(shape)
    return torch.from_numpy(bits.astype(np.float32) * 2 - 1)
