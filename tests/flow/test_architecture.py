"""The RTL and the HLS design of a graph are one architecture: the same folding, the same beats, the same memories."""

import re
from pathlib import Path

import pytest
from bitexpert.flow.emit import HW, emit_hls, emit_rtl
from emitnets import BOARD, folded_net, joined_net

NETS = {"experts": folded_net, "joins": joined_net}
CALL = re.compile(r"// (?:\w+) (\w+)(?:: [^\n]*)?\n  bx::(\w+)<([^>]*)>\(([^)]*)\);")
INSTANCE = re.compile(r"// \w+ (\w+)(?:: [^\n]*)?\n  bx_\w+ #\(\n(.*?)\n  \) \1 \(", re.S)
TABLE = re.compile(r"ap_uint<(\d+)> (\w+)\[(\d+)\] = \{\n#else\n.*?\n#endif\n(.*?)\n\};", re.S)


def template_names() -> dict[str, list[str]]:
    """Function of ``hw/hls`` -> names of its template parameters that have one value each."""
    names = {}
    for header in (HW / "hls").glob("*.hpp"):
        for parameters, function in re.findall(r"template <([^>]*)>\n[^(;]*?(\w+)\(", header.read_text()):
            single = [p for p in parameters.split(",") if "..." not in p]
            names.setdefault(function, [p.split()[-1] for p in single])
    return names


def hls_parameters(folder: Path) -> dict[str, dict[str, int]]:
    names = template_names()
    return {
        node: dict(zip(names[function], map(int, arguments.split(",")), strict=True))
        for node, function, arguments, _ in CALL.findall((folder / "hls" / "accelerator.cpp").read_text())
    }


def rtl_parameters(folder: Path) -> dict[str, dict[str, int]]:
    return {
        node: {name: int(value) for name, value in re.findall(r"\.(\w+)\((-?\d+)\)", parameters)}
        for node, parameters in INSTANCE.findall((folder / "rtl" / "accelerator.sv").read_text())
    }


def rtl_memories(folder: Path) -> dict[str, list[int]]:
    return {p.stem: [int(word, 16) for word in p.read_text().split()] for p in (folder / "rtl").glob("*.mem")}


def hls_memories(folder: Path) -> dict[str, list[int]]:
    """Words as the RTL has them: PE rows joined where the header reshapes or partitions the array by PE."""
    pe = {node: parameters.get("PE", 1) for node, parameters in hls_parameters(folder).items()}
    memories = {}
    for width, name, depth, text in TABLE.findall((folder / "hls" / "tables.hpp").read_text()):
        words = [int(word, 16) for word in re.findall(r"0x[0-9a-f]+", text)]
        assert len(words) == int(depth)
        node, table = re.fullmatch(r"(.*_\d+)_(weights|thresholds_\d|bias|offsets)", name).groups()
        rows = pe[node] if node.startswith(("matvec", "threshold")) else 1
        joined = [words[i : i + rows] for i in range(0, len(words), rows)]
        memories[f"{node}_{table.removesuffix('_0')}"] = [
            sum(word << i * int(width) for i, word in enumerate(group)) for group in joined
        ]
    return memories


def beat_bits(text: str, pattern: str, shift: int) -> dict[str, int]:
    return {name: int(bits) + shift for bits, name in re.findall(pattern, text)}


def differences(folder: Path) -> list[str]:
    """Where the two designs of a folder are not one architecture."""
    found = []
    rtl, hls = rtl_parameters(folder), hls_parameters(folder)
    found += [f"{name} is in one design only" for name in (rtl.keys() ^ hls.keys()) if not name.startswith("fifo_")]
    for node in rtl.keys() & hls.keys():
        shared = rtl[node].keys() & hls[node].keys() - {"PAD"}
        found += [f"{node}: {name}" for name in sorted(shared) if rtl[node][name] != hls[node][name]]
    wires = beat_bits((folder / "rtl" / "accelerator.sv").read_text(), r"\[(\d+):0\] (\w+)_tdata;", 1)
    streams = beat_bits((folder / "hls" / "accelerator.cpp").read_text(), r"hls::stream<ap_uint<(\d+)>> (\w+)\(", 0)
    found += [f"{name}: {bits} bits" for name, bits in streams.items() if wires.get(name) != bits]
    mine, other = rtl_memories(folder), hls_memories(folder)
    found += [f"{name} is in one design only" for name in mine.keys() ^ other.keys()]
    found += [f"{name}: words" for name in mine.keys() & other.keys() if mine[name] != other[name]]
    return found


@pytest.fixture(params=NETS)
def folder(request, tmp_path):
    graph = NETS[request.param]()
    emit_rtl(graph, tmp_path / "rtl", "made by a test")
    emit_hls(graph, tmp_path / "hls", "made by a test", part=BOARD.part, clock_ns=10.0)
    return tmp_path


def test_both_designs_have_one_architecture(folder):
    assert differences(folder) == []


def test_the_comparison_sees_every_cell_and_every_memory(tmp_path):
    seen = {"PE", "SIMD", "SF", "NF", "GROUPS", "PIXELS", "BEATS", "COPIES", "WORDS", "ROWS"}
    emit_rtl(folded_net(), tmp_path / "rtl", "made by a test")
    emit_hls(folded_net(), tmp_path / "hls", "made by a test", part=BOARD.part, clock_ns=10.0)
    rtl, hls = rtl_parameters(tmp_path), hls_parameters(tmp_path)
    assert {n.name for n in folded_net().nodes} == rtl.keys()
    assert {name for name in rtl if not name.startswith("fifo_")} == hls.keys()
    assert seen <= {name for node in hls for name in rtl[node].keys() & hls[node].keys()}
    memories = rtl_memories(tmp_path)
    # three banks of one matrix in one memory
    assert len(memories["matvec_1_weights"]) == 3 * 3 * 36
    assert memories.keys() == {
        "matvec_0_weights",
        "threshold_0_thresholds",
        "gate_0_weights",
        "gate_0_bias",
        "matvec_1_weights",
    }


@pytest.mark.parametrize(
    ("file", "pattern", "new", "wanted"),
    [
        ("hls/accelerator.cpp", r"matvec_banks<3, 2,", "matvec_banks<2, 3,", ["matvec_1: PE", "matvec_1: SIMD"]),
        ("hls/accelerator.cpp", r"stream<ap_uint<4>> held_0\(", "stream<ap_uint<8>> held_0(", ["held_0: 8 bits"]),
        (
            "hls/tables.hpp",
            r"(matvec_1_weights_words.*\n#endif\n)    0x\w+ULL",
            r"\1    0x7ULL",
            ["matvec_1_weights: words"],
        ),
        ("rtl/gate_0_bias.mem", r"^(\w+)\n(\w+)\n", r"\2\n\1\n", ["gate_0_bias: words"]),
        ("rtl/accelerator.sv", r"\.ROWS\((\d+)\)", r".ROWS(1\1)", ["window_0: ROWS"]),
    ],
    ids=["folding", "beat", "table", "memory", "ring"],
)
def test_a_difference_is_found(tmp_path, file, pattern, new, wanted):
    emit_rtl(folded_net(), tmp_path / "rtl", "made by a test")
    emit_hls(folded_net(), tmp_path / "hls", "made by a test", part=BOARD.part, clock_ns=10.0)
    path = tmp_path / file
    changed, count = re.subn(pattern, new, path.read_text(), count=1)
    assert count == 1
    path.write_text(changed)
    assert set(wanted) <= set(differences(tmp_path))
