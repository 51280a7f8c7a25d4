"""The reference networks of Brevitas (bnn_pynq) with random numbers, exported in all the ways that Brevitas knows."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from bitexpert.flow.quiet import quiet
from flownets import scramble
from onnx.external_data_helper import convert_model_to_external_data
from torch import nn

#: All of bnn_pynq but its resnet; there is no lfc_2w2a.
NAMES = tuple(
    f"{size}_{bits}"
    for size in ("tfc", "sfc", "lfc", "cnv")
    for bits in ("1w1a", "1w2a", "2w2a")
    if (size, bits) != ("lfc", "2w2a")
)


@dataclass(frozen=True)
class Form:
    """How a file is written.

    Parameters
    ----------
    dynamo : bool
        By torch.export; else by TorchScript.
    opset : int
    batch : str
        ``static`` (1), ``dynamic``, ``edited`` (its first dimension renamed after a static export), or a number.
    external : bool
        Weights in a file beside the model.
    stripped : bool
        Nodes without names.
    cleaned : bool
        After qonnx-cleanup.
    plain : bool
        As little folded and optimized as the exporter allows.
    """

    dynamo: bool = False
    opset: int = 13
    batch: str = "static"
    external: bool = False
    stripped: bool = False
    cleaned: bool = False
    plain: bool = False

    def __str__(self) -> str:
        flags = [f for f in ("external", "stripped", "cleaned", "plain") if getattr(self, f)]
        return "-".join(["dynamo" if self.dynamo else "script", str(self.opset), self.batch, *flags])


def network(name: str, seed: int = 0) -> nn.Module:
    """A network of bnn_pynq in eval mode; every layer's signs vary, with slopes of every sign and of 0."""
    with quiet():
        from brevitas_examples.bnn_pynq.models import model_with_cfg
        from brevitas_examples.bnn_pynq.models.tensor_norm import TensorNorm

        torch.manual_seed(seed)
        model, _ = model_with_cfg(name, pretrained=False)
    model.eval()
    scramble(model, torch.rand(16, *frame(name)), seed)
    with torch.no_grad():
        for bn in (m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))):
            # the same decisions with a standard deviation 1000 times as large; and one of almost 0
            bn.running_var[1::4] *= 1e6
            bn.weight[1::4] *= 1e3
            bn.running_var[2::8] = 1e-12
        for norm in (m for m in model.modules() if isinstance(m, TensorNorm)):
            norm.weight.uniform_(0.5, 2.0)
            norm.bias.uniform_(-3.0, 3.0)
            norm.running_mean.uniform_(-5.0, 5.0)
            norm.running_var.uniform_(1.0, 400.0)
    return model


def frame(name: str) -> tuple[int, int, int]:
    """Shape of a frame (C, H, W)."""
    return (3, 32, 32) if name.startswith("cnv") else (1, 28, 28)


def export_network(name: str, model: nn.Module, path: Path, form: Form) -> Path:
    """Write a network as a QONNX file."""
    from brevitas.export import export_qonnx

    count = int(form.batch) if form.batch.isdigit() else 2 if form.dynamo and form.batch == "dynamic" else 1
    options: dict = {"dynamo": form.dynamo, "opset_version": form.opset, "input_names": ["x"], "output_names": ["y"]}
    if form.batch == "dynamic":
        key = "dynamic_shapes" if form.dynamo else "dynamic_axes"
        batch = torch.export.Dim("batch") if form.dynamo else None
        options[key] = ({0: batch},) if form.dynamo else {"x": {0: "batch"}, "y": {0: "batch"}}
    if form.dynamo:
        options["external_data"] = form.external
    if form.plain:
        options["optimize" if form.dynamo else "do_constant_folding"] = False
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        export_qonnx(model, torch.zeros(count, *frame(name)), export_path=str(path), **options)
    finish(path, form)
    return path


def finish(path: Path, form: Form) -> None:
    """What users do to a file after the export."""
    proto = onnx.load(str(path))
    if form.batch == "edited":
        for value in (*proto.graph.input[:1], *proto.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "N"
    if form.stripped:
        for node in proto.graph.node:
            node.name = ""
    if form.cleaned:
        with quiet():
            from qonnx.core.modelwrapper import ModelWrapper
            from qonnx.util.cleanup import cleanup_model

            proto = cleanup_model(ModelWrapper(proto)).model
    if form.external:
        convert_model_to_external_data(proto, location=f"{path.name}.weights", size_threshold=0)
    onnx.save(proto, str(path))
