"""The passes of streamlining, one module each, and their order."""

from __future__ import annotations

from typing import Any

from .affine import AbsorbIntoThreshold
from .base import LibraryPass, Pass
from .identity import RemoveDeadNodes, RemoveIdentities
from .input_threshold import AnnotateInput, RemoveInputThreshold
from .scales import MoveMonotonePastMaxPool, MoveScalePastPad, RecordOutputScale, SplitBipolarScale
from .supported import CheckOperators

__all__ = ["LibraryPass", "Pass", "pipeline"]


def _finn(name: str) -> LibraryPass:
    def make() -> Any:
        from finn.transformation.qonnx.convert_qonnx_to_finn import ConvertQONNXtoFINN
        from finn.transformation.streamline import absorb, collapse_repeated, reorder
        from qonnx.transformation.batchnorm_to_affine import BatchNormToAffine
        from qonnx.transformation.infer_datatypes import InferDataTypes

        own = {c.__name__: c for c in (ConvertQONNXtoFINN, BatchNormToAffine, InferDataTypes)}
        for module in (absorb, collapse_repeated, reorder):
            own[name] = getattr(module, name, None) or own.get(name)
        return own[name]()

    return LibraryPass(name, make)


def pipeline() -> tuple[Pass, ...]:
    """The passes in order.

    FINN's own are used one by one and not as its ``Streamline``: each is checked, names in the user's file
    survive, and thresholds are not computed by dividing floats (a slope of 0 would divide by 0), but
    by :class:`AbsorbIntoThreshold`.
    """
    return (
        CheckOperators(),
        AnnotateInput(),
        RemoveIdentities(),
        SplitBipolarScale(),
        _finn("ConvertQONNXtoFINN"),
        _finn("BatchNormToAffine"),
        _finn("AbsorbScalarBiasIntoMultiThreshold"),
        # sign(max(x)) = max(sign(x)): pool bits, not numbers
        _finn("MoveMaxPoolPastMultiThreshold"),
        # scales past what they commute with, until they meet a threshold or the output
        _finn("MoveScalarLinearPastFork"),
        _finn("MoveMulPastMaxPool"),
        _finn("MoveScalarLinearPastInvariants"),
        MoveScalePastPad(),
        _finn("MoveScalarMulPastConv"),
        _finn("MoveScalarMulPastMatMul"),
        MoveMonotonePastMaxPool(),
        _finn("CollapseRepeatedMul"),
        RemoveInputThreshold(),
        AbsorbIntoThreshold(),
        RecordOutputScale(),
        RemoveDeadNodes(),
        _finn("InferDataTypes"),
    )
