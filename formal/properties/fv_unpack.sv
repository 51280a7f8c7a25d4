// bx_unpack: every byte comes out in its place, frames and packets end where they did, and faults are told.
//
// LEGAL = 1 assumes packets of whole frames and words without gaps, and proves that no fault is told then. LEGAL = 0
// assumes nothing, and proves that what is illegal is told and that words are taken ever after.
`default_nettype none
module fv_unpack #(
    parameter int IN_BYTES  = 2,
    parameter int OUT_BYTES = 1,
    parameter int BEATS     = 2,
    parameter int LEGAL     = 1,
    parameter int CW        = 4  // 2^CW is more than the bytes that the cell can hold
) (
    input wire                  clk,
    input wire                  rst_n,
    input wire [8*IN_BYTES-1:0] s_axis_tdata,
    input wire [  IN_BYTES-1:0] s_axis_tkeep,
    input wire                  s_axis_tlast,
    input wire                  s_axis_tvalid,
    input wire                  m_axis_tready,
    input wire [        CW-1:0] pick_byte,
    input wire [           2:0] pick_bit
);
  localparam int FRAME = BEATS * OUT_BYTES;
  localparam int FW = $clog2(FRAME + IN_BYTES + 1);
  localparam int BW = $clog2(BEATS) > 0 ? $clog2(BEATS) : 1;
  wire s_axis_tready, m_axis_tvalid, m_axis_first, m_axis_last, m_axis_end, fault_last, fault_keep;
  wire [8*OUT_BYTES-1:0] m_axis_tdata;
  bx_unpack #(.IN_BYTES(IN_BYTES), .OUT_BYTES(OUT_BYTES), .BEATS(BEATS)) dut (.*);

  fv_run run (.*);
  wire [1:0] unused_frames, out_frame;
  wire unused_beat;
  wire [BW-1:0] out_beat;
  fv_stream #(.W(9 * IN_BYTES + 1), .ASSUMED(1), .STREAK(0), .WAITS(0)) source (
      .clk, .rst_n, .tdata({s_axis_tdata, s_axis_tkeep, s_axis_tlast}), .tvalid(s_axis_tvalid), .tready(s_axis_tready),
      .beat(unused_beat), .frame(unused_frames)
  );
  fv_stream #(.W(8 * OUT_BYTES + 3), .BEATS(BEATS), .STREAK(0)) sink (
      .clk, .rst_n, .tdata({m_axis_tdata, m_axis_first, m_axis_last, m_axis_end}), .tvalid(m_axis_tvalid),
      .tready(m_axis_tready), .beat(out_beat), .frame(out_frame)
  );
  wire goes_in = s_axis_tvalid && s_axis_tready;
  wire goes_out = m_axis_tvalid && m_axis_tready;
  always_comb if (rst_n && m_axis_tvalid) assert (m_axis_first == (out_beat == '0));
  always_comb if (rst_n && m_axis_tvalid) assert (m_axis_last == (out_beat == BW'(BEATS - 1)));

  // -- what is legal: bytes from the low one on, all of them before the packet's end, which is a frame's end
  logic [CW-1:0] kept;
  logic gap;
  always_comb begin
    kept = '0;
    gap = !s_axis_tkeep[0];
    for (int i = 0; i < IN_BYTES; i++) begin
      kept = kept + CW'(s_axis_tkeep[i]);
      if (i > 0 && s_axis_tkeep[i] && !s_axis_tkeep[i-1]) gap = 1'b1;
      if (!s_axis_tkeep[i] && !s_axis_tlast) gap = 1'b1;
    end
  end
  logic [FW-1:0] place;  // bytes of the frame that have gone in
  logic [FW-1:0] next_place;
  always_comb begin
    next_place = place + FW'(kept);
    for (int i = 0; i < IN_BYTES; i++) if (next_place >= FW'(FRAME)) next_place = next_place - FW'(FRAME);
  end
  wire cut = s_axis_tlast && next_place != '0;
  logic illegal_keep, illegal_last;
  wire illegal = illegal_keep || illegal_last;
  if (LEGAL != 0) begin : g_legal
    always_comb if (rst_n && s_axis_tvalid) assume (!gap && !cut);
    always_comb if (rst_n) assert (!fault_last && !fault_keep);
  end else begin : g_faults
    always_comb if (rst_n && fault_keep) assert (illegal_keep);
    always_comb if (rst_n && fault_last) assert (illegal_last);
    always_comb cover (rst_n && fault_keep);
    always_comb cover (rst_n && fault_last);
  end

  // -- any one bit of any one byte, and whether its packet ends with it
  logic [CW-1:0] put, got, byte_number;
  logic [2:0] bit_number;
  always_ff @(posedge clk) if (!rst_n) {byte_number, bit_number} <= {pick_byte, pick_bit};
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      put <= '0;
      got <= '0;
      place <= '0;
      illegal_keep <= 1'b0;
      illegal_last <= 1'b0;
    end else begin
      if (goes_in && !illegal && !gap) begin
        put <= put + kept;
        place <= next_place;
      end
      if (goes_in && !illegal) {illegal_keep, illegal_last} <= {gap, !gap && cut};
      if (goes_out) got <= got + CW'(OUT_BYTES);
    end
  end
  wire [CW-1:0] in_place = byte_number - put;
  wire [CW-1:0] out_place = byte_number - got;
  wire learn = goes_in && !illegal && !gap && in_place < kept;
  wire [8*IN_BYTES-1:0] in_shifted = s_axis_tdata >> {in_place, bit_number};
  wire [8*OUT_BYTES-1:0] out_shifted = m_axis_tdata >> {out_place, bit_number};
  wire offered = m_axis_tvalid && out_place < CW'(OUT_BYTES);
  wire known, ends, value;
  fv_expected #(.W(2)) one (
      .clk, .rst_n, .learn, .value({s_axis_tlast && in_place == kept - 1'b1, in_shifted[0]}), .offered,
      .taken(offered && m_axis_tready), .known, .expected({ends, value})
  );
  always_comb if (rst_n && offered) assert (out_shifted[0] == value);
  always_comb
    if (rst_n && offered && out_place == CW'(OUT_BYTES - 1)) assert (m_axis_end == (ends && m_axis_last));

  always_comb cover (rst_n && goes_out && m_axis_end);
  fv_settles #(.LIMIT(4)) settles (
      .clk, .rst_n, .moves(goes_in || goes_out), .free(m_axis_tready),
      .at_rest(s_axis_tready && (illegal ? fault_keep || fault_last : put - got < CW'(OUT_BYTES)))
  );
endmodule
`default_nettype wire
