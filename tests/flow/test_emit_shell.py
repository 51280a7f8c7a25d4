"""The shell that is emitted: its files, what it tells a driver, its hash, and what it refuses."""

import json
from dataclasses import replace

import pytest
from bitexpert.errors import BitexpertError
from bitexpert.flow import emit_shell as room
from bitexpert.flow.emit import emit_rtl
from bitexpert.flow.emit_shell import SHELL, SHELL_ALONE, SHELL_CELLS, design_hash, emit_shell
from bitexpert.hw import shell
from bitexpert.hw.graph import Dataflow, Node
from bitexpert.hw.ops.fifo import Fifo
from bitexpert.hw.types import BIPOLAR, StreamType
from bitexpert.sim.rtl import lint_rtl
from emitnets import folded_net, joined_net


@pytest.fixture(scope="module")
def emitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shell")
    graph = folded_net()
    emit_rtl(graph, folder / "rtl", "made by a test")
    return graph, folder, emit_shell(graph, folder / "shell", "made by a test", word_bytes=8)


def test_the_files(emitted):
    _, folder, _ = emitted
    names = {path.name for path in (folder / "shell").iterdir()}
    assert names == {*(f"{cell}.sv" for cell in SHELL_CELLS), f"{SHELL}.sv", f"{SHELL_ALONE}.sv", "shell.json"}


@pytest.mark.parametrize("word_bytes", [1, 4, 8, 16, 64])
@pytest.mark.parametrize("top", [SHELL, SHELL_ALONE])
def test_verilator_has_nothing_to_say(emitted, top, word_bytes, tmp_path):
    graph, folder, _ = emitted
    emit_shell(graph, tmp_path, "made by a test", word_bytes=word_bytes)
    rtl = [p for p in (folder / "rtl").glob("*.sv") if p.name != "bx_fifo.sv"] if top == SHELL else []
    sources = [*(tmp_path / f"{cell}.sv" for cell in SHELL_CELLS), *rtl, tmp_path / f"{top}.sv"]
    (tmp_path / "sources.f").write_text("".join(f"{path}\n" for path in sources))
    lint_rtl(tmp_path, top)


def test_what_a_driver_is_told(emitted):
    graph, folder, contexts = emitted
    told = json.loads((folder / "shell" / "shell.json").read_text())
    assert told["design_hash"] == design_hash(graph) == contexts[SHELL].design_hash
    assert told["input"] | {"shape": None} == {
        "element": "uint3",
        "shape": None,
        "elements_per_beat": 1,
        "bits_per_element": 3,
        "beat_bytes": 1,
        "beats": 48,
    }
    assert told["expert_layers"] == [{"name": "gate_0", "experts": 3}]
    assert told["registers"]["CYCLES"] == {
        "address": 0x80,
        "what": shell.REGISTERS["CYCLES"].what,
        "words": 2,
        "writable": False,
    }
    assert contexts[SHELL].build == "00030100"
    assert contexts[SHELL_ALONE].build == "00000001"


def test_every_change_of_the_design_changes_its_hash(emitted, monkeypatch):
    graph, _, _ = emitted
    first = design_hash(graph)
    assert len(first) == 32
    assert first == design_hash(folded_net())
    layer = next(n for n in graph.nodes if n.name == "matvec_0")
    weights = layer.op.weights.copy()
    weights.reshape(-1)[0] *= -1
    changed = [replace(n, op=replace(n.op, weights=weights)) if n is layer else n for n in graph.nodes]
    assert design_hash(replace(graph, nodes=tuple(changed))) != first
    fifo = next(n for n in graph.nodes if isinstance(n.op, Fifo))
    deeper = [replace(n, op=replace(n.op, depth=n.op.depth + 1)) if n is fifo else n for n in graph.nodes]
    assert design_hash(replace(graph, nodes=tuple(deeper))) != first
    # names that users gave to tensors say nothing of the hardware
    assert design_hash(replace(graph, tensors={"x": "y"}, meta={"title": "z"})) == first
    monkeypatch.setattr(shell, "VERSION", shell.VERSION + 1)
    assert design_hash(graph) != first


def test_several_inputs_are_refused(tmp_path):
    kind = StreamType(BIPOLAR, (1, 1, 8))
    nodes = tuple(Node(f"fifo_{i}", Fifo(kind, 8, 2), (f"in_{i}",), (f"out_{i}",)) for i in range(2))
    graph = Dataflow(nodes, ("in_0", "in_1"), ("out_0", "out_1"))
    with pytest.raises(BitexpertError, match=r"one input and one output.*2 and 2"):
        emit_shell(graph, tmp_path / "shell", "x", word_bytes=8)
    assert not (tmp_path / "shell").exists()


def test_more_experts_than_counters_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(room.shell, "MAX_EXPERTS", 2)
    with pytest.raises(BitexpertError, match="1 expert layers of up to 3 experts; the shell counts at most 12 and 2"):
        emit_shell(folded_net(), tmp_path / "shell", "x", word_bytes=8)


def test_a_network_without_experts_has_no_counters(tmp_path):
    emit_shell(joined_net(), tmp_path, "x", word_bytes=8)
    assert json.loads((tmp_path / "shell.json").read_text())["expert_layers"] == []
    assert ".LAYERS" not in (tmp_path / f"{SHELL}.sv").read_text()


def test_the_registers_of_the_documents_are_those_of_the_hardware():
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "board.md").read_text(encoding="utf-8")
    for name, register in shell.REGISTERS.items():
        words = " (2 words)" if register.words == 2 else ""
        assert f"| `0x{register.address:03X}`{words} | `{name}` | {register.what}" in text


def test_counters_have_addresses():
    assert shell.counter_address(2, 3) == 0x400 + 0x200 + 12
    for layer, expert in ((12, 0), (0, 64), (-1, 0)):
        with pytest.raises(ValueError, match=f"no counter for expert {expert} of layer {layer}"):
            shell.counter_address(layer, expert)
