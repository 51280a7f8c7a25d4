"""The passes of streamlining, one module each, and their order."""

from __future__ import annotations

from typing import Any

from .annotate_input import AnnotateInput
from .base import LibraryPass, Pass
from .fold_signs import FoldSigns
from .identity import RemoveDeadNodes, RemoveIdentities
from .integer_form import IntegerForm
from .supported import CheckOperators

__all__ = ["LibraryPass", "Pass", "pipeline"]


def _bits_only(model: Any, node: Any) -> bool:
    """Whether FINN may make thresholds of a quantizer: of one bit, -1 and +1.

    Of more bits it makes thresholds that round halves up, where Quant rounds them to even.
    """
    from .base import scalar_of

    return node.op_type == "BipolarQuant" and scalar_of(model.get_initializer(node.input[1])) == 1.0


def _extract_bias() -> Any:
    from qonnx.transformation.extract_conv_bias import ExtractBiasFromConv

    return ExtractBiasFromConv()


def _fold_weights() -> Any:
    from finn.transformation.qonnx.fold_quant_weights import FoldQuantWeights

    return FoldQuantWeights()


def _signs_to_thresholds() -> Any:
    from finn.transformation.qonnx.quant_act_to_multithreshold import ConvertQuantActToMultiThreshold

    return ConvertQuantActToMultiThreshold(_bits_only)


def _pool_bits() -> Any:
    from finn.transformation.streamline.reorder import MoveMaxPoolPastMultiThreshold

    return MoveMaxPoolPastMultiThreshold()


def _datatypes() -> Any:
    from qonnx.transformation.infer_datatypes import InferDataTypes

    return InferDataTypes()


def pipeline() -> tuple[Pass, ...]:
    """The passes in order.

    FINN's are those that are right on every graph, or that notice when they are not: one that raises, or changes what
    the network computes, is left out, and the record says so. All that it would have done is done by IntegerForm,
    which FINN's own ``Streamline`` cannot do for padded, grouped, copied or forked bits (see
    docs/finn.md).
    """
    return (
        CheckOperators(),
        AnnotateInput(),
        RemoveIdentities(),
        RemoveDeadNodes(),
        # a scale that FoldQuantWeights moves behind a Conv would scale its bias, too
        LibraryPass("ExtractBiasFromConv", _extract_bias),
        LibraryPass("FoldQuantWeights", _fold_weights),
        LibraryPass("ConvertQuantActToMultiThreshold", _signs_to_thresholds),
        IntegerForm(),
        FoldSigns(),
        # sign(max(x)) = max(sign(x)): pool bits, not numbers
        LibraryPass("MoveMaxPoolPastMultiThreshold", _pool_bits),
        RemoveDeadNodes(),
        LibraryPass("InferDataTypes", _datatypes),
    )
