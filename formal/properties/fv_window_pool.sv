// bx_window_pool: each result is the maximum or the sum of its channel over the window's taps.
`default_nettype none
module fv_window_pool #(
    parameter int IN_W    = 2,
    parameter int OUT_W   = 2,
    parameter int WORDS   = 2,
    parameter int TAPS    = 3,
    parameter int SUM     = 0,
    parameter int BIPOLAR = 0,
    parameter int SIGNED  = 1,
    parameter int MASKED  = 0,
    parameter int IN      = TAPS * WORDS,
    parameter int BEAT_W  = $clog2(IN + 1)
) (
    input wire                   clk,
    input wire                   rst_n,
    input wire [IN_W+MASKED-1:0] s_axis_tdata,
    input wire                   s_axis_tvalid,
    input wire                   m_axis_tready,
    input wire [            1:0] pick_frame,
    input wire [     BEAT_W-1:0] pick_beat
);
  wire s_axis_tready, m_axis_tvalid;
  wire [OUT_W-1:0] m_axis_tdata;
  bx_window_pool #(
      .PE(1), .IN_W(IN_W), .OUT_W(OUT_W), .WORDS(WORDS), .TAPS(TAPS), .SUM(SUM), .BIPOLAR(BIPOLAR), .SIGNED(SIGNED),
      .MASKED(MASKED)
  ) dut (.*);

  fv_run run (.*);
  wire [1:0] put, got;
  wire [BEAT_W-1:0] in_beat, out_beat;
  fv_stream #(.W(IN_W + MASKED), .BEATS(IN), .ASSUMED(1), .WAITS(WORDS > 1 ? 1 : 0), .BEAT_W(BEAT_W)) source (
      .clk, .rst_n, .tdata(s_axis_tdata), .tvalid(s_axis_tvalid), .tready(s_axis_tready), .beat(in_beat), .frame(put)
  );
  fv_stream #(.W(OUT_W), .BEATS(WORDS), .STREAK(WORDS), .BEAT_W(BEAT_W)) sink (
      .clk, .rst_n, .tdata(m_axis_tdata), .tvalid(m_axis_tvalid), .tready(m_axis_tready), .beat(out_beat), .frame(got)
  );
  wire goes_in = s_axis_tvalid && s_axis_tready;

  // -- any one result
  logic [1:0] frame;
  logic [BEAT_W-1:0] place;
  always_ff @(posedge clk) if (!rst_n) {frame, place} <= {pick_frame, pick_beat};
  always_comb if (!rst_n) assume (pick_beat <= BEAT_W'(WORDS - 1));
  wire tap = goes_in && put == frame && in_beat % BEAT_W'(WORDS) == place;
  wire first = in_beat < BEAT_W'(WORDS);
  wire last = in_beat >= BEAT_W'(IN - WORDS);

  wire [OUT_W-1:0] result, expected;
  localparam int KIND = BIPOLAR != 0 && SUM != 0 ? 0 : SIGNED != 0 ? 2 : 1;  // the maximum of bits is that of 0 and 1
  fv_reduction #(.W(IN_W), .OUT_W(OUT_W), .SUM(SUM), .KIND(KIND)) reduction (
      .clk, .tap, .first, .present(MASKED == 0 || s_axis_tdata[IN_W+MASKED-1]), .code(s_axis_tdata[IN_W-1:0]), .result
  );
  wire offered = m_axis_tvalid && got == frame && out_beat == place;
  fv_expected #(.W(OUT_W)) beat (
      .clk, .rst_n, .learn(tap && last), .value(result), .offered, .taken(offered && m_axis_tready), .known(), .expected
  );
  always_comb if (rst_n && offered) assert (m_axis_tdata == expected);

  fv_settles #(.LIMIT(2)) settles (
      .clk, .rst_n, .moves(goes_in || (m_axis_tvalid && m_axis_tready)), .free(m_axis_tready),
      .at_rest(s_axis_tready && (in_beat > BEAT_W'(IN - WORDS) || (put == got && out_beat == '0)))
  );
endmodule
`default_nettype wire
