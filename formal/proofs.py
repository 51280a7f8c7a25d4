"""What is proved, and with which sizes: harnesses of `properties/` with parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Engines of SymbiYosys. Property-directed reachability decides for runs of any length, bounded model checking for the
#: first `depth` cycles.
PDR = "abc pdr"
BMC = "smtbmc z3"


@dataclass(frozen=True)
class Proof:
    """A harness with parameters.

    Parameters
    ----------
    name : str
        Unique; made of the cell's name and what distinguishes the sizes.
    harness : str
        Module and file of `properties/`, without its prefix `fv_`.
    parameters : mapping of str to int
        Overrides of the harness' parameters.
    memories : mapping of str to str
        Files that the cell and its harness read with `$readmemh`.
    engine : str
        `PDR` or `BMC`.
    depth : int
        Cycles that `BMC` looks at.
    cover_depth : int
        Cycles in which every cover statement must be reached; 0 if the harness has none.
    defines : tuple of str
        Macros under which synthesis reads the cells. If there are some, they are read as synthesis does, and Yosys'
        models stand for the primitives of the FPGA; else they are read in their portable form.
    """

    name: str
    harness: str
    parameters: Mapping[str, int] = field(default_factory=dict)
    memories: Mapping[str, str] = field(default_factory=dict)
    engine: str = PDR
    depth: int = 0
    cover_depth: int = 24
    defines: tuple[str, ...] = ()

    @property
    def streams(self) -> bool:
        """Whether it is of one cell with AXI4-Streams."""
        return self.harness not in ("expert_mux", "dot", "axilite", "expert_meter") and not self.defines

    @property
    def bounded(self) -> bool:
        """Whether it holds for the first `depth` cycles of a run only."""
        return self.engine == BMC


def words(*values: int) -> str:
    """The text of a memory file."""
    return "".join(f"{value:x}\n" for value in values)


STREAMS = (
    Proof("fifo_2", "fifo", {"DEPTH": 2}),
    Proof("fifo_3", "fifo", {"DEPTH": 3}),
    Proof("fifo_5", "fifo", {"DEPTH": 5}),
    Proof("fork_2", "fork", {"COPIES": 2}),
    Proof("fork_3", "fork", {"COPIES": 3}),
    Proof("widen", "width_convert", {"IN_W": 1, "OUT_W": 3}),
    Proof("narrow", "width_convert", {"IN_W": 4, "OUT_W": 1}),
    Proof("slice_middle", "slice", {"BEATS": 4, "START": 1, "STOP": 3}),
    Proof("slice_end", "slice", {"BEATS": 3, "START": 1, "STOP": 3}),
    Proof("slice_all", "slice", {"BEATS": 2, "START": 0, "STOP": 2}),
    Proof("concat", "concat"),
    Proof("concat_lanes", "concat", {"PE": 2, "FIRST_KIND": 1, "FIRST_W": 2, "FIRST_BEATS": 2, "SECOND_BEATS": 1}),
    Proof("frame_hold", "frame_hold", {"BEATS": 2, "DEPTH": 3}),
    Proof("frame_hold_1", "frame_hold", {"BEATS": 1, "DEPTH": 2}),
)

#: Words and beats of bytes: wider, narrower, neither a multiple of the other.
BYTES = (
    Proof("unpack", "unpack"),
    Proof("unpack_wide", "unpack", {"IN_BYTES": 1, "OUT_BYTES": 2, "BEATS": 1}),
    Proof("unpack_odd", "unpack", {"IN_BYTES": 2, "OUT_BYTES": 3, "BEATS": 2}),
    Proof("unpack_faults", "unpack", {"LEGAL": 0}),
    Proof("unpack_short", "unpack", {"BEATS": 1}, engine=BMC, depth=10),
    Proof("pack", "pack", engine=BMC, depth=10),
    Proof("pack_wide", "pack", {"IN_BYTES": 2, "OUT_BYTES": 1}, cover_depth=0),
    Proof("pack_odd", "pack", {"IN_BYTES": 2, "OUT_BYTES": 3}, engine=BMC, depth=10),
)

#: What stands at the shell's registers.
REGISTERS = (
    Proof("axilite", "axilite"),
    Proof("expert_meter", "expert_meter"),
)

OFFSETS = {"offsets.mem": words(1, 6, 3)}

NUMBERS = (
    Proof("add_product", "add"),
    Proof("add_wires", "add", {"A_KIND": 1, "A_GAIN": 2, "B_KIND": 2, "B_W": 3, "B_GAIN": -1}),
    Proof("affine", "affine", memories=OFFSETS),
    Proof("affine_bits", "affine", {"KIND": 0, "IN_W": 1, "GAIN": 2}, OFFSETS),
    Proof("topk", "topk"),
    Proof("topk_unsigned", "topk", {"C": 4, "K": 1, "SIGNED": 0}),
    Proof("pool_max", "pool", cover_depth=45),
    Proof(
        "pool_sum",
        "pool",
        {"SUM": 1, "IN_W": 1, "OUT_W": 3, "BIPOLAR": 1, "SIGNED": 0, "WORDS": 2, "HEIGHT": 2, "WIDTH": 3},
        cover_depth=45,
    ),
    Proof("window_pool_max", "window_pool"),
    Proof("window_pool_sum", "window_pool", {"SUM": 1, "IN_W": 1, "OUT_W": 3, "BIPOLAR": 1, "SIGNED": 0, "MASKED": 1}),
)

#: One threshold a word, the top bit set for a channel that falls.
SIGNS = {"search_0.mem": words(0x2, 0xF, 0x9, 0x4), "search_1.mem": words(0), "levels.mem": words(0x2, 0xF, 0x9, 0x4)}
#: Three thresholds a word: -3, 0, 2 and, falling, -2, -1, 1. The search reads the middle one, then one beside it.
SEARCH = {
    "search_0.mem": words(0x0, 0xF),
    "search_1.mem": words(0x5, 0x2, 0x9, 0xE),
    "levels.mem": words(0b0_010_000_101, 0b1_001_111_110),
}

THRESHOLDS = (
    Proof("threshold_straight", "threshold", {"BEATS": 4, "COPIES": 1}, SIGNS, cover_depth=20),
    Proof("threshold_replay", "threshold", {"BEATS": 2, "COPIES": 2}, SIGNS, cover_depth=20),
    Proof("threshold_search", "threshold", {"BEATS": 2, "COPIES": 1, "BITS": 2, "OUT_W": 3, "OFFSET": -1}, SEARCH),
)

#: Two banks, of as many words as the sizes need; then one bank of two lanes and two groups.
BANKS = {"weights.mem": words(0, 1, 1, 0, 1, 1, 0, 1)}
PIXELS = {"weights.mem": words(1, 0)}
LANES = {"weights.mem": words(0x9, 0x3)}

MATVECS = (
    Proof("matvec_folds", "matvec", {"SF": 2, "NF": 2, "PIXELS": 1, "BANKS": 2}, BANKS, cover_depth=30),
    Proof("matvec_pixels", "matvec", {"SF": 1, "NF": 1, "PIXELS": 3, "BANKS": 2}, PIXELS),
    Proof(
        "matvec_groups",
        "matvec",
        {"PE": 2, "SIMD": 2, "SF": 1, "NF": 1, "GROUPS": 2, "PIXELS": 1, "BANKS": 1, "MASKED": 1},
        LANES,
    ),
)

#: Two experts with weights 1 and -2, and biases 0 and 1: the second one wins without a bit, the first one with two.
TWO = {"gate.mem": words(1, 2), "bias.mem": words(0, 1)}

GATES = (Proof("gate", "gate", memories=TWO),)

UNIT = (Proof("expert_mux", "expert_mux", memories={**TWO, **PIXELS}, engine=BMC, depth=22, cover_depth=34),)

WINDOWS = (
    Proof("window", "sliding_window", cover_depth=40),
    Proof(
        "window_padded",
        "sliding_window",
        {"HEIGHT": 2, "WIDTH": 2, "KH": 2, "KW": 1, "PAD_TOP": 1, "MASKED": 1, "ROWS": 2},
        cover_depth=30,
    ),
    Proof(
        "window_groups",
        "sliding_window",
        {
            "HEIGHT": 1,
            "WIDTH": 3,
            "WORDS": 2,
            "GROUPS": 2,
            "KH": 1,
            "KW": 2,
            "SW": 2,
            "ROWS": 2,
            "PAD_RIGHT": 1,
        },
        cover_depth=30,
    ),
)

#: As bx_matvec uses it: at most 32 products in one cycle.
SLICE = 32

SIGN_DOTS = tuple(
    Proof(
        f"dot_{n}{'_half' if half else ''}",
        "dot",
        {"N": n, "SLICE": SLICE, "HALF": half, "LATENCY": 1 if n <= SLICE else 2},
        engine=BMC,
        depth=4 if n <= SLICE else 3,
        cover_depth=0,
    )
    for n in (4, 6, 8, 12, 16, 24, 32, 36)
    for half in (0, 1)
)
NUMBER_DOTS = (
    Proof(
        "dot_signs",
        "dot",
        {"N": 5, "SLICE": 4, "B_KIND": 2, "B_BITS": 3, "SUM_W": 7, "LATENCY": 2},
        engine=BMC,
        depth=5,
        cover_depth=0,
    ),
    Proof(
        "dot_numbers",
        "dot",
        {"N": 3, "SLICE": 2, "A_KIND": 2, "A_BITS": 4, "B_KIND": 1, "B_BITS": 2, "SUM_W": 8, "LATENCY": 3},
        engine=BMC,
        depth=6,
        cover_depth=0,
    ),
)

#: What synthesis makes sums and comparisons of, for Xilinx' devices and for others.
XILINX, PORTABLE = ("SYNTHESIS",), ("SYNTHESIS", "BX_PORTABLE")


def primitive(name: str, harness: str, parameters: Mapping[str, int], defines: tuple[str, ...] = XILINX) -> Proof:
    """A proof of a cell without registers: its first cycle is all of it."""
    return Proof(name, harness, parameters, engine=BMC, depth=1, cover_depth=0, defines=defines)


PRIMITIVES = (
    *(
        primitive(f"{cell}_{n}{suffix}", cell, {"N": n}, defines)
        for cell, sizes in (("equal", (1, 2, 3, 4, 8, 12, 16, 24, 32, 36)), ("ones", (1, 2, 7, 8, 19, 20, 28, 36)))
        for suffix, defines in (("", XILINX), ("_portable", PORTABLE))
        for n in sizes
    ),
    *(
        primitive(f"at_least_{w}{'' if signed else '_unsigned'}", "at_least", {"W": w, "SIGNED": signed})
        for signed in (1, 0)
        for w in (1, 2, 3, 8, 13, 18)
    ),
)

PROOFS = (
    *STREAMS,
    *BYTES,
    *REGISTERS,
    *NUMBERS,
    *THRESHOLDS,
    *WINDOWS,
    *MATVECS,
    *GATES,
    *UNIT,
    *SIGN_DOTS,
    *NUMBER_DOTS,
    *PRIMITIVES,
)
