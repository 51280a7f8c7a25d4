"""Freezing a network to integers, held against the network as it was trained."""

import torch
from bitexpert.models.network import BinaryNetwork
from torch import Tensor


def assert_freezing_changes_no_score(model: BinaryNetwork, images: Tensor, least: float) -> None:
    """Let normalizations and gates see images, freeze the network, and compare its scores.

    A frozen gate has rounded weights, so an image may get another expert: of at least the part ``least`` of the images
    no gate decides otherwise, and for these each score is the same.
    """
    experts = [layer for _, layer in model.experts()]
    with torch.no_grad():
        for _ in range(20):
            model(images)
        model.normalize_gates(images)
        before, chosen = model.eval()(images), [layer.gate.last_index for layer in experts]
        after = model.freeze()(images)
        same = torch.ones(len(images), dtype=torch.bool)
        for layer, index in zip(experts, chosen, strict=True):
            same &= layer.gate.last_index == index
        assert same.float().mean() >= least
        assert torch.equal(after[same], before[same])
        assert len(after.unique()) > 10
        assert torch.equal(model.freeze()(images), after)
