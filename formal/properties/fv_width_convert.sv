// bx_width_convert, both ways: every part of every word comes out in its place.
`default_nettype none
module fv_width_convert #(
    parameter int IN_W  = 1,
    parameter int OUT_W = 3,
    // a frame is a word of the wider side
    parameter bit WIDEN  = OUT_W > IN_W,
    parameter int RATIO  = WIDEN ? OUT_W / IN_W : IN_W / OUT_W,
    parameter int PART_W = $clog2(RATIO)
) (
    input wire              clk,
    input wire              rst_n,
    input wire [  IN_W-1:0] s_axis_tdata,
    input wire              s_axis_tvalid,
    input wire              m_axis_tready,
    input wire [       1:0] pick_frame,
    input wire [PART_W-1:0] pick_part
);
  localparam int W = WIDEN ? IN_W : OUT_W;  // of a part
  wire s_axis_tready, m_axis_tvalid;
  wire [OUT_W-1:0] m_axis_tdata;
  bx_width_convert #(.IN_W(IN_W), .OUT_W(OUT_W)) dut (.*);

  fv_run run (.*);
  wire [1:0] put, got;
  wire [PART_W-1:0] in_beat, out_beat;
  fv_stream #(
      .W(IN_W), .BEATS(WIDEN ? RATIO : 1), .ASSUMED(1), .STREAK(WIDEN ? 2 * RATIO + 1 : 0),
      .WAITS(WIDEN ? 0 : 1),  // widening, only a first part waits: for the word before
      .BEAT_W(PART_W)
  ) source (
      .clk, .rst_n, .tdata(s_axis_tdata), .tvalid(s_axis_tvalid), .tready(s_axis_tready), .beat(in_beat), .frame(put)
  );
  fv_stream #(.W(OUT_W), .BEATS(WIDEN ? 1 : RATIO), .STREAK(WIDEN ? 0 : 2 * RATIO + 1), .BEAT_W(PART_W)) sink (
      .clk, .rst_n, .tdata(m_axis_tdata), .tvalid(m_axis_tvalid), .tready(m_axis_tready), .beat(out_beat), .frame(got)
  );
  wire goes_in = s_axis_tvalid && s_axis_tready;

  // -- any one part
  logic [1:0] frame;
  logic [PART_W-1:0] part;
  always_ff @(posedge clk) if (!rst_n) {frame, part} <= {pick_frame, pick_part};
  always_comb if (!rst_n) assume (pick_part <= PART_W'(RATIO - 1));
  wire offered = m_axis_tvalid && got == frame && (WIDEN || out_beat == part);
  wire known;
  wire [W-1:0] expected;
  wire [RATIO*W-1:0] word = (RATIO * W)'(WIDEN ? m_axis_tdata : s_axis_tdata);
  wire [W-1:0] of_word = word[part*W +: W];
  fv_expected #(.W(W)) beat (
      .clk, .rst_n, .learn(goes_in && put == frame && (!WIDEN || in_beat == part)),
      .value(WIDEN ? W'(s_axis_tdata) : of_word), .offered, .taken(offered && m_axis_tready), .known, .expected
  );
  always_comb if (rst_n && offered) assert ((WIDEN ? of_word : W'(m_axis_tdata)) == expected);
  always_comb if (rst_n && m_axis_tvalid) assert (put != got);

  fv_settles #(.LIMIT(2)) settles (
      .clk, .rst_n, .moves(goes_in || (m_axis_tvalid && m_axis_tready)), .free(m_axis_tready),
      .at_rest(s_axis_tready && put == got && out_beat == '0)
  );
endmodule
`default_nettype wire
