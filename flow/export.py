"""Export: a trained network becomes one QONNX file that computes the same integers."""

import json
import re
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..errors import BitexpertError
from ..models.binary import BinaryWeights
from ..models.checkpoint import load_checkpoint
from ..models.expert import EXPERT_DOMAIN, ExpertConv2d
from ..models.files import write_atomically
from ..models.stream import StreamNorm
from .custom_op import expert_inputs
from .passes.base import name_new, tensor_names
from .quiet import quiet

__all__ = ["ExportError", "export", "run_qonnx"]

_FREEZE = "call model.freeze() before the export, or export the model.pt of a run folder, which is frozen"


class ExportError(BitexpertError):
    """The network can't be exported, or the file doesn't compute the same; the message says where."""


def _check(model: nn.Module) -> None:
    """Raise ExportError unless every layer is quantized, every binary weight +-1 and all that can be frozen is."""
    gates = {id(layer.gate.linear) for layer in model.modules() if isinstance(layer, ExpertConv2d)}
    for name, layer in model.named_modules():
        if isinstance(layer, StreamNorm) and not layer.frozen:
            raise ExportError(f"{name}: its slope isn't rounded for good; {_FREEZE}")
        if not isinstance(layer, BinaryWeights):
            quantized = getattr(getattr(layer, "weight_quant", None), "is_quant_enabled", False)  # as Brevitas tells
            if isinstance(layer, (nn.Conv2d, nn.Linear)) and id(layer) not in gates and not quantized:
                raise ExportError(
                    f"{name}: its weights are real numbers, and the accelerator computes with integers; export a "
                    "network of integers (vgg, cnv, es-eb-cnv, or resnet and ebresnet with stream: integer), or this "
                    "one with brevitas.export for other use"
                )
            if quantized and not torch.isfinite(layer.weight).all():
                raise ExportError(f"{name}: its weights aren't all finite; the training has diverged, train again")
            continue
        if layer.real_weights:
            raise ExportError(
                f"{name}: it multiplies with real weights; call use_real_weights(model, False) and train the signs"
            )
        # NaN would binarize to -1 without a word, so look at the real weights too.
        if not torch.isfinite(layer.weight).all() or not (layer.used_weight().abs() == 1).all():
            raise ExportError(f"{name}: its weights aren't all +1 or -1; the training has diverged, train again")
        if isinstance(layer, ExpertConv2d) and not layer.gate.frozen:
            raise ExportError(f"{name}: its gate is still real-valued; {_FREEZE}")


def run_qonnx(model: Any, pixels: NDArray) -> NDArray[np.float32]:
    """Execute a QONNX model sample by sample.

    Parameters
    ----------
    model : ModelWrapper
        With one input and one output, batch 1.
    pixels : array
        ``[N, C, H, W]``.

    Returns
    -------
    float32 array
        The outputs, stacked: ``[N, ...]``.
    """
    from qonnx.core.onnx_exec import execute_onnx

    source, target = model.graph.input[0].name, model.graph.output[0].name
    rows = [execute_onnx(model, {source: row[None].astype(np.float32)})[target][0] for row in pixels]
    return np.stack(rows)


def _samples(shape: tuple[int, ...], count: int) -> NDArray[np.float32]:
    """Noise of several densities, and the darkest and brightest image."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (count, *shape)) * (rng.random((count, *shape)) < rng.random((count, 1, 1, 1)))
    return np.concatenate([noise, np.zeros((1, *shape)), np.full((1, *shape), 255)]).astype(np.float32)


def _self_check(model: nn.Module, wrapper: Any, samples: NDArray[np.float32]) -> None:
    with torch.no_grad():
        expected = model(torch.from_numpy(samples)).numpy()
    found = run_qonnx(wrapper, samples)
    wrong = np.argwhere(expected != found)
    if len(wrong):
        n, c = wrong[0]
        raise ExportError(
            f"the exported file differs from the network in {len(wrong)} of {expected.size} scores; first: "
            f"sample {n}, class {c}: network {expected[n, c]:g}, file {found[n, c]:g}. Please report this"
        )


def _name_tensors(wrapper: Any) -> None:
    """Replace the random names that the exporter invents, so that one checkpoint always gives the same file."""
    invented = re.compile(r"[A-Za-z0-9]{6}")
    name_new(wrapper, {name for name in tensor_names(wrapper) if not invented.fullmatch(name)})


def _annotate(wrapper: Any, model: nn.Module) -> None:
    """Datatypes that the exporter doesn't know, and where the file comes from."""
    from qonnx.core.datatype import DataType

    wrapper.set_tensor_datatype("global_in", DataType["UINT8"])
    for node in wrapper.get_nodes_by_op_type("ExpertConv"):
        for name in expert_inputs(node)[3:]:
            values = wrapper.get_initializer(name)
            wrapper.set_tensor_datatype(name, DataType.get_smallest_possible(-max(1.0, float(abs(values).max())) - 1))
    try:
        release = version("bitexpert")
    except PackageNotFoundError:
        release = "unknown"
    wrapper.set_metadata_prop("bitexpert_version", release)
    wrapper.set_metadata_prop("network", str(getattr(model, "name", type(model).__name__)))
    wrapper.set_metadata_prop("input_layout", "NCHW")
    names = getattr(getattr(model, "config", None), "class_names", None)
    if names:
        wrapper.set_metadata_prop("class_names", json.dumps(list(names)))


def export(
    source: str | Path | nn.Module,
    path: str | Path,
    *,
    samples: NDArray | None = None,
) -> Path:
    """Write a network as one QONNX file and prove on samples that it computes the same scores.

    Parameters
    ----------
    source : path or nn.Module
        A checkpoint, or a frozen network of the registry.
    path : path
        The file to write. Input ``global_in`` (UINT8, NCHW, batch 1), output ``global_out``.
    samples : array, optional
        Pixels ``[N, C, H, W]`` to compare on; default: noise and the extremes.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    ExportError
        If a weight isn't +-1, a gate isn't frozen, the file computes something else, or ``path`` can't be
        written.
    CheckpointError
        If the checkpoint can't be read.
    """
    with quiet():
        from brevitas.export import export_qonnx
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.transformation.infer_shapes import InferShapes

    model = source if isinstance(source, nn.Module) else load_checkpoint(source)
    was_training = model.training
    model.eval()
    try:
        _check(model)
        config: Any = getattr(model, "config", None)
        if config is None:
            raise ExportError("the network has no config; make it with build_network()")
        shape = (config.channels, config.height, config.width)
        has_experts = any(isinstance(layer, ExpertConv2d) for layer in model.modules())
        with tempfile.TemporaryDirectory() as folder, quiet(), torch.no_grad():
            raw = Path(folder) / "raw.onnx"
            export_qonnx(
                model,
                torch.zeros(1, *shape),
                export_path=str(raw),
                # The other exporter splits the file in two and renames the nodes.
                dynamo=False,
                opset_version=13,
                input_names=["global_in"],
                output_names=["global_out"],
                custom_opsets={EXPERT_DOMAIN: 1} if has_experts else {},
            )
            wrapper = ModelWrapper(str(raw)).transform(InferShapes())
        _name_tensors(wrapper)
        _annotate(wrapper, model)
        _self_check(model, wrapper, _samples(shape, 6) if samples is None else np.asarray(samples, np.float32))
    finally:
        model.train(was_training)
    return write_atomically(path, lambda temporary: wrapper.save(str(temporary)))
