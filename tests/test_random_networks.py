"""Random networks, from the file to the integer reference, and the small ones to the fast engine, HLS and RTL."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from randomnets import Network, networks
from wholeway import accelerator, in_hardware, in_the_fast_engine

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def whole_way(network: Network, *, engine: bool, hardware: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        network.save(path)
        graph, frames = accelerator(path)
    if engine:
        in_the_fast_engine(graph, frames)
    if hardware:
        in_hardware(graph, frames[:3])


def budget(examples: int, seed: int | None = None):
    """So many networks; the same ones each time, but for the long run."""
    return settings(
        max_examples=examples,
        derandomize=seed is None,
        database=None,
        deadline=None,
        suppress_health_check=QUIET,
        phases=[Phase.generate, Phase.shrink],
    )


@budget(60)
@given(networks())
def test_to_the_reference(network):
    whole_way(network, engine=False, hardware=False)


@budget(5)
@given(networks().filter(lambda n: n.hardware))
def test_to_hardware(network):
    whole_way(network, engine=True, hardware=True)


@pytest.mark.full
@pytest.mark.parametrize("part", range(4))
def test_hundreds_to_the_reference(part):
    @seed(part)
    @budget(150, seed=part)
    @given(networks())
    def check(network):
        whole_way(network, engine=False, hardware=False)

    check()


@pytest.mark.full
@pytest.mark.parametrize("part", range(4))
def test_dozens_to_hardware(part):
    @seed(part)
    @budget(12, seed=part)
    @given(networks().filter(lambda n: n.hardware))
    def check(network):
        whole_way(network, engine=True, hardware=True)

    check()
