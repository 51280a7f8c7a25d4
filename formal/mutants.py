"""Planted bugs: each is an edit of one cell that the named proof must refute."""

from dataclasses import dataclass

from ..errors import BitexpertError


@dataclass(frozen=True)
class Mutant:
    """An edit of a cell's text.

    Parameters
    ----------
    name : str
        Unique; says what is wrong.
    proof : str
        Name of the proof that must fail.
    cell : str
        File of `hw/rtl`.
    old, new : str
        Text that occurs once in the file, and what stands there instead.
    """

    name: str
    proof: str
    cell: str
    old: str
    new: str

    def apply(self, text: str) -> str:
        """The cell's text with the bug. BitexpertError if the text to replace does not occur exactly once."""
        if text.count(self.old) != 1:
            raise BitexpertError(
                f"mutant {self.name}: {self.old!r} must occur once in {self.cell}, not {text.count(self.old)} times"
            )
        return text.replace(self.old, self.new)


MUTANTS = (
    # bytes
    Mutant(
        "unpack takes a short word for a full one",
        "unpack_short",
        "bx_unpack.sv",
        "count <= rest + word_bytes;",
        "count <= rest + CW'(IN_BYTES);",
    ),
    Mutant(
        "unpack ends the packet a beat early",
        "unpack_short",
        "bx_unpack.sv",
        "assign m_axis_end = ending && count == CW'(OUT_BYTES) && m_axis_last;",
        "assign m_axis_end = ending && m_axis_last;",
    ),
    Mutant(
        "unpack drops no word after a fault",
        "unpack_faults",
        "bx_unpack.sv",
        "assign word_ready = room || fault;",
        "assign word_ready = room;",
    ),
    Mutant(
        "unpack overlooks a short word",
        "unpack_faults",
        "bx_unpack.sv",
        "gap || short_word})",
        "gap})",
    ),
    Mutant(
        "pack keeps a word back",
        "pack",
        "bx_pack.sv",
        "wire offer = full || (ending && count != '0);",
        "wire offer = full;",
    ),
    Mutant(
        "pack tells of a byte too many",
        "pack",
        "bx_pack.sv",
        "count > CW'(i)",
        "count >= CW'(i)",
    ),
    Mutant(
        "axilite answers before the write",
        "axilite",
        "bx_axilite.sv",
        "assign writes = has_address && has_data && !s_axi_bvalid;",
        "assign writes = has_address && has_data;",
    ),
    Mutant(
        "axilite takes a second address",
        "axilite",
        "bx_axilite.sv",
        "assign s_axi_awready = !has_address;",
        "assign s_axi_awready = !has_address || !has_data;",
    ),
    Mutant(
        "axilite answers a cycle early",
        "axilite",
        "bx_axilite.sv",
        "if (answering) s_axi_rdata <= read_data;",
        "if (selecting) s_axi_rdata <= read_data;",
    ),
    Mutant(
        "expert meter wraps",
        "expert_meter",
        "bx_expert_meter.sv",
        "old + W'(!full)",
        "old + 1'b1",
    ),
    Mutant(
        "expert meter leaves a word uncleared",
        "expert_meter",
        "bx_expert_meter.sv",
        "ready <= at == IW'(EXPERTS - 1);",
        "ready <= at == IW'(EXPERTS - 2);",
    ),
    # fifo
    Mutant(
        "fifo overflows",
        "fifo_3",
        "bx_fifo.sv",
        "(get || bypass) : 1'b1) < CW'(DEPTH)",
        "(get || bypass) : 1'b1) < CW'(DEPTH + 1)",
    ),
    Mutant(
        "fifo forgets order",
        "fifo_3",
        "bx_fifo.sv",
        "wire bypass = load && empty && put;",
        "wire bypass = load && put;",
    ),
    Mutant(
        "fifo pointer does not wrap",
        "fifo_5",
        "bx_fifo.sv",
        "if (get) read_at <= read_at == AW'(WORDS - 1) ?",
        "if (get) read_at <= read_at == AW'(WORDS - 2) ?",
    ),
    Mutant(
        "fifo drops a beat that waits",
        "fifo_2",
        "bx_fifo.sv",
        "      if (load) begin",
        "      if (load || s_axis_tvalid) begin",
    ),
    # fork
    Mutant(
        "fork repeats a copy",
        "fork_2",
        "bx_fork.sv",
        "s_axis_tready ? '0 : done | m_axis_tready",
        "s_axis_tready ? '0 : m_axis_tready",
    ),
    Mutant("fork loses a copy", "fork_3", "bx_fork.sv", "= &(done | m_axis_tready)", "= |(done | m_axis_tready)"),
    # width_convert
    Mutant("widening swaps parts", "widen", "bx_width_convert.sv", "take && part == CW'(p)", "take && part != CW'(p)"),
    Mutant(
        "widening overwrites a word that waits",
        "widen",
        "bx_width_convert.sv",
        "assign s_axis_tready = enable;",
        "assign s_axis_tready = 1'b1;",
    ),
    Mutant(
        "narrowing takes a word too early",
        "narrow",
        "bx_width_convert.sv",
        "assign s_axis_tready = enable && first;",
        "assign s_axis_tready = enable && (first || last);",
    ),
    Mutant(
        "narrowing turns the parts round",
        "narrow",
        "bx_width_convert.sv",
        "assign m_axis_tdata = word[OUT_W-1:0];",
        "assign m_axis_tdata = word[IN_W-1 -: OUT_W];",
    ),
    # frame_hold
    Mutant(
        "frame leaves without its token",
        "frame_hold",
        "bx_frame_hold.sv",
        "wire open = released != 2'd0;",
        "wire open = 1'b1;",
    ),
    Mutant("token releases one beat only", "frame_hold", "bx_frame_hold.sv", "- 2'(leave && last)", "- 2'(leave)"),
    Mutant(
        "third token is taken",
        "frame_hold_1",
        "bx_frame_hold.sv",
        "wire token_room = released != 2'd2;",
        "wire token_room = 1'b1;",
    ),
    Mutant(
        "token passes on without being taken",
        "frame_hold",
        "bx_frame_hold.sv",
        "assign s_token_tready = m_token_tready && token_room;",
        "assign s_token_tready = m_token_tready && token_room && open;",
    ),
    # slice, concat, add, affine
    Mutant(
        "slice begins a beat late",
        "slice_middle",
        "bx_slice.sv",
        "if (next == BW'(START)) wanted",
        "if (beat == BW'(START)) wanted",
    ),
    Mutant(
        "slice offers a beat twice",
        "slice_all",
        "bx_slice.sv",
        "m_axis_tvalid <= take && wanted;",
        "m_axis_tvalid <= wanted;",
    ),
    Mutant(
        "concat changes turns too early",
        "concat",
        "bx_concat.sv",
        "wire second = beat >= BW'(FIRST_BEATS);",
        "wire second = beat >= BW'(FIRST_BEATS - 1);",
    ),
    Mutant(
        "concat extends a sign as zero",
        "concat",
        "bx_concat.sv",
        "KIND == 2 ? OUT_W'($signed(code)) : OUT_W'(code)",
        "OUT_W'(code)",
    ),
    Mutant(
        "add takes one beat alone",
        "add_wires",
        "bx_add.sv",
        "assign s0_axis_tready = enable && s1_axis_tvalid;",
        "assign s0_axis_tready = enable;",
    ),
    Mutant("add forgets a sign", "add_product", "bx_add.sv", "(B_GAIN < 0 ? -b : b)", "b"),
    Mutant("affine reads the next offset", "affine", "bx_affine.sv", "if (take) beat <= beat ==", "beat <= beat =="),
    Mutant(
        "affine offers bits as 1 and 0",
        "affine_bits",
        "bx_affine.sv",
        "code[0] ? OUT_W'(FACTOR) : OUT_W'(-FACTOR)",
        "code[0] ? OUT_W'(FACTOR) : '0",
    ),
    # topk, pools
    Mutant(
        "topk prefers the later of equals",
        "topk",
        "bx_topk.sv",
        "|| value > values[j*W +: W];",
        "|| value >= values[j*W +: W];",
    ),
    Mutant(
        "topk overwrites indices that leave",
        "topk",
        "bx_topk.sv",
        "assign s_axis_tready = !last || left == '0",
        "assign s_axis_tready = !last || left != KW'(K)",
    ),
    Mutant(
        "pool carries a column into the next row",
        "pool_max",
        "bx_pool.sv",
        "kx <= end_row || last_kx ?",
        "kx <= last_kx ?",
    ),
    Mutant(
        "pool keeps the old tile",
        "pool_sum",
        "bx_pool.sv",
        "wire first = kx == '0 && ky == '0;",
        "wire first = kx == '0 && ky == '0 && at == '0;",
    ),
    Mutant(
        "window pool compares without signs",
        "window_pool_max",
        "bx_window_pool.sv",
        "wire larger = (value ^ SIGN) > (old ^ SIGN);",
        "wire larger = value > old;",
    ),
    Mutant("window pool adds padding", "window_pool_sum", "bx_window_pool.sv", "present ? number : '0;", "number;"),
    # threshold
    Mutant(
        "threshold is missed by one",
        "threshold_straight",
        "bx_at_least.sv",
        "($signed(a) >= $signed(b))",
        "($signed(a) > $signed(b))",
    ),
    Mutant(
        "threshold replays a pixel once more",
        "threshold_replay",
        "bx_threshold.sv",
        "filled + 2'(put_pixel) - 2'(drop_pixel)",
        "filled + 2'(put_pixel) - 2'(drop_pixel && !read_half)",
    ),
    Mutant(
        "threshold takes a third pixel",
        "threshold_replay",
        "bx_threshold.sv",
        "assign s_axis_tready = filled != 2'd2;",
        "assign s_axis_tready = filled != 2'd3;",
    ),
    Mutant(
        "threshold joins bits in the wrong order",
        "threshold_search",
        "bx_threshold.sv",
        "{found_2[p*s +: s], bit_here[p]}",
        "{bit_here[p], found_2[p*s +: s]}",
    ),
    # sliding window
    Mutant(
        "window reads a row before it is complete",
        "window",
        "bx_sliding_window.sv",
        "held >= HELD[oy*HW +: HW]",
        "held + 1'b1 >= HELD[oy*HW +: HW]",
    ),
    Mutant(
        "window frees a row too early",
        "window",
        "bx_sliding_window.sv",
        "fire && end_row ? FREED[oy*HW +: HW] : '0",
        "fire && end_row ? FREED[oy*HW +: HW] + HW'(held > 2) : '0",
    ),
    Mutant(
        "window forgets the padding of a second frame",
        "window_padded",
        "bx_sliding_window.sv",
        "if (end_frame) y <= YW'(-PAD_TOP);",
        "if (end_frame) y <= '0;",
    ),
    Mutant(
        "window skips a word of a group",
        "window_groups",
        "bx_sliding_window.sv",
        "AW'(DW * WORDS - (TAP - 1))",
        "AW'(DW * WORDS - TAP)",
    ),
    # matvec
    Mutant(
        "matvec follows the token's stream",
        "matvec_pixels",
        "bx_matvec.sv",
        "held <= bank;",
        "held <= bank_address(s_token_tdata);",
    ),
    Mutant(
        "matvec takes a token a pixel", "matvec_pixels", "bx_matvec.sv", "start <= last_pixel;", "start <= last_group;"
    ),
    Mutant(
        "matvec takes a token before its beat",
        "matvec_pixels",
        "bx_matvec.sv",
        "enable && start && s_axis_tvalid;",
        "enable && start;",
    ),
    Mutant(
        "matvec replays the first beat only",
        "matvec_folds",
        "bx_matvec.sv",
        "if (enable) sf_1 <= sf;",
        "if (enable) sf_1 <= arriving ? sf : '0;",
    ),
    Mutant(
        "matvec takes a window over another",
        "matvec_folds",
        "bx_matvec.sv",
        "assign s_axis_tready = enable && told && arriving;",
        "assign s_axis_tready = enable && told;",
    ),
    Mutant(
        "matvec counts padding",
        "matvec_groups",
        "bx_matvec.sv",
        "wire padded = MASKED != 0 && !beat[BEAT_W-1];",
        "wire padded = 1'b0;",
    ),
    # gate
    Mutant(
        "gate prefers the later of equals",
        "gate",
        "bx_gate.sv",
        "$signed(z) > $signed(best);",
        "$signed(z) >= $signed(best);",
    ),
    Mutant(
        "gate adds to sums that are in use",
        "gate",
        "bx_gate.sv",
        "assign s_axis_tready = !full[in_set];",
        "assign s_axis_tready = 1'b1;",
    ),
    Mutant("gate keeps the sums of an old frame", "gate", "bx_gate.sv", "pixel == '0 ? '0 : held[", "held["),
    Mutant("gate changes a token that waits", "gate", "bx_gate.sv", "if (enable && done && wins)", "if (done && wins)"),
    # the unit
    Mutant("unit mixes up tokens", "expert_mux", "bx_matvec.sv", "start <= last_pixel;", "start <= last_group;"),
    Mutant("unit sums two frames", "expert_mux", "bx_gate.sv", "pixel == '0 ? '0 : held[", "held["),
    # dot
    Mutant("dot compares for difference", "dot_8", "bx_equal.sv", "$countones(~(a ^ b))", "$countones(a ^ b)"),
    Mutant(
        "dot forgets the end of a negation",
        "dot_signs",
        "bx_dot.sv",
        "part = PART_W'($countones(negative));",
        "part = '0;",
    ),
    Mutant(
        "dot reads a digit without its sign",
        "dot_numbers",
        "bx_dot.sv",
        "wire high = (TOP == BIT + 1 || A_KIND == 2) && x[P*A_BITS+TOP];",
        "wire high = TOP == BIT + 1 && BIT + 2 < A_BITS && x[P*A_BITS+TOP];",
    ),
    # what synthesis makes of sums and comparisons
    Mutant("three pairs count twos as ones", "equal_8", "bx_equal_three.sv", "(init(1))", "(init(0))"),
    Mutant(
        "three pairs forget a pair",
        "equal_8_portable",
        "bx_equal_three.sv",
        "(same[2] & (same[0] | same[1]))",
        "(same[2] & same[0])",
    ),
    Mutant("equal counts pairs that are not there", "equal_8", "bx_equal.sv", "^ ({PAIRS{1'b1}} << N)", ""),
    Mutant("ones drops a carry", "ones_19", "bx_add_ones.sv", "c == 0 ? bits[5] : 1'b0", "1'b0"),
    Mutant("ones forgets a group", "ones_20", "bx_ones.sv", "g_group[g-1].sum + ", ""),
    Mutant(
        "ones counts a bit twice", "ones_8_portable", "bx_add_ones.sv", "half ^ bits[3] ^ bits[4]", "half ^ bits[3]"
    ),
    Mutant("comparison takes the sign for a two", "at_least_3", "bx_at_least.sv", "1'(swap)", "1'b0"),
    Mutant(
        "comparison looks at the wrong bit of a pair", "at_least_8", "bx_at_least.sv", "i[0] && !i[1]", "i[1] && !i[0]"
    ),
)
