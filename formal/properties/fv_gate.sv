// bx_gate: one token a frame, in order: the lowest index with the largest score, from the sums of the whole frame.
`default_nettype none
module fv_gate #(
    parameter int PE       = 1,
    parameter int IN_W     = 1,
    parameter int SIGNED   = 0,
    parameter int DOUBLE   = 1,
    parameter int PIXELS   = 2,
    parameter int WORDS    = 1,
    parameter int EXPERTS  = 2,
    parameter int LANES    = 1,
    parameter int ELEMENTS = 1,
    parameter int SUM_W    = 2,
    parameter int WEIGHT_W = 2,
    parameter int Z_W      = 5,
    parameter int TOKEN_W  = 1,
    parameter int IN       = PIXELS * WORDS,
    parameter int BEAT_W   = $clog2(IN + 1),
    parameter int FRAME_W  = 3
) (
    input wire               clk,
    input wire               rst_n,
    input wire [PE*IN_W-1:0] s_axis_tdata,
    input wire               s_axis_tvalid,
    input wire               m_axis_tready,
    input wire [FRAME_W-1:0] pick_frame
);
  wire s_axis_tready, m_axis_tvalid;
  wire [TOKEN_W-1:0] m_axis_tdata;
  bx_gate #(
      .PE(PE), .IN_W(IN_W), .SIGNED(SIGNED), .DOUBLE(DOUBLE), .PIXELS(PIXELS), .WORDS(WORDS), .EXPERTS(EXPERTS),
      .LANES(LANES), .ELEMENTS(ELEMENTS), .SUM_W(SUM_W), .WEIGHT_W(WEIGHT_W), .Z_W(Z_W), .TOKEN_W(TOKEN_W),
      .WEIGHTS("gate.mem"), .BIAS("bias.mem")
  ) dut (.*);

  fv_run run (.*);
  wire [FRAME_W-1:0] put, got;
  wire [BEAT_W-1:0] in_beat;
  localparam int PARTS = PE / ELEMENTS;
  localparam int STEPS = EXPERTS / LANES * WORDS * PARTS;
  fv_stream #(
      .W(PE * IN_W), .BEATS(IN), .FRAME_W(FRAME_W), .ASSUMED(1), .BEAT_W(BEAT_W),
      .STREAK(STEPS <= IN ? 2 * IN + 1 : 2 * IN),
      .WAITS(0)  // only a frame's first beat waits, for a set of sums
  ) source (
      .clk, .rst_n, .tdata(s_axis_tdata), .tvalid(s_axis_tvalid), .tready(s_axis_tready), .beat(in_beat), .frame(put)
  );
  fv_stream #(.W(TOKEN_W), .FRAME_W(FRAME_W), .STREAK(0)) sink (
      .clk, .rst_n, .tdata(m_axis_tdata), .tvalid(m_axis_tvalid), .tready(m_axis_tready), .beat(), .frame(got)
  );
  wire goes_in = s_axis_tvalid && s_axis_tready;
  always_comb if (rst_n && in_beat != '0) assert (s_axis_tready);

  // -- any one token
  logic [FRAME_W-1:0] frame;
  always_ff @(posedge clk) if (!rst_n) frame <= pick_frame;
  wire [TOKEN_W-1:0] best, expected;
  fv_choice #(
      .PE(PE), .IN_W(IN_W), .SIGNED(SIGNED), .DOUBLE(DOUBLE), .WORDS(WORDS), .EXPERTS(EXPERTS), .LANES(LANES),
      .ELEMENTS(ELEMENTS), .SUM_W(SUM_W), .WEIGHT_W(WEIGHT_W), .Z_W(Z_W), .TOKEN_W(TOKEN_W), .BEAT_W(BEAT_W)
  ) choice (
      .clk, .take(goes_in && put == frame), .beat(in_beat), .data(s_axis_tdata), .best
  );
  wire offered = m_axis_tvalid && got == frame;
  fv_expected #(.W(TOKEN_W)) beat (
      .clk, .rst_n, .learn(goes_in && put == frame && in_beat == BEAT_W'(IN - 1)), .value(best),
      .offered, .taken(offered && m_axis_tready), .known(), .expected
  );
  always_comb if (rst_n && offered) assert (m_axis_tdata == expected);

  // the first beat of a frame waits, at most, for the layer; then for a token that is not taken
  fv_settles #(.LIMIT(STEPS + 4 + $clog2(ELEMENTS) + LANES)) settles (
      .clk, .rst_n, .moves(goes_in || (m_axis_tvalid && m_axis_tready)), .free(m_axis_tready),
      .at_rest(s_axis_tready && put == got)
  );

  // each choice is made; two frames are in flight while a third one enters
  for (genvar e = 0; e < EXPERTS; e++) begin : g_choice
    always_comb cover (rst_n && offered && m_axis_tdata == TOKEN_W'(e));
  end
  always_comb cover (rst_n && put == got + FRAME_W'(2) && in_beat != '0);
endmodule
`default_nettype wire
