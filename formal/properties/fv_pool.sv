// bx_pool: each result is the maximum or the sum of its tile, for every size of frame, whole tiles or not.
`default_nettype none
module fv_pool #(
    parameter int IN_W    = 2,
    parameter int OUT_W   = 2,
    parameter int HEIGHT  = 3,
    parameter int WIDTH   = 5,
    parameter int WORDS   = 1,
    parameter int KH      = 2,
    parameter int KW      = 2,
    parameter int SUM     = 0,
    parameter int BIPOLAR = 0,
    parameter int SIGNED  = 1,
    parameter int OH      = HEIGHT / KH,
    parameter int OW      = WIDTH / KW,
    parameter int IN      = HEIGHT * WIDTH * WORDS,
    parameter int OUT     = OH * OW * WORDS,
    parameter int BEAT_W  = $clog2(IN + 1)
) (
    input wire              clk,
    input wire              rst_n,
    input wire [  IN_W-1:0] s_axis_tdata,
    input wire              s_axis_tvalid,
    input wire              m_axis_tready,
    input wire [       1:0] pick_frame,
    input wire [BEAT_W-1:0] pick_beat
);
  wire s_axis_tready, m_axis_tvalid;
  wire [OUT_W-1:0] m_axis_tdata;
  bx_pool #(
      .PE(1), .IN_W(IN_W), .OUT_W(OUT_W), .HEIGHT(HEIGHT), .WIDTH(WIDTH), .WORDS(WORDS), .KH(KH), .KW(KW),
      .SUM(SUM), .BIPOLAR(BIPOLAR), .SIGNED(SIGNED)
  ) dut (.*);

  fv_run run (.*);
  wire [1:0] put, got;
  wire [BEAT_W-1:0] in_beat, out_beat;
  fv_stream #(.W(IN_W), .BEATS(IN), .ASSUMED(1), .WAITS(0), .BEAT_W(BEAT_W)) source (
      .clk, .rst_n, .tdata(s_axis_tdata), .tvalid(s_axis_tvalid), .tready(s_axis_tready), .beat(in_beat), .frame(put)
  );
  fv_stream #(.W(OUT_W), .BEATS(OUT), .STREAK(0), .BEAT_W(BEAT_W)) sink (
      .clk, .rst_n, .tdata(m_axis_tdata), .tvalid(m_axis_tvalid), .tready(m_axis_tready), .beat(out_beat), .frame(got)
  );
  wire goes_in = s_axis_tvalid && s_axis_tready;

  // -- any one result: where its tile lies, and where the beat at the input lies in the frame
  logic [1:0] frame;
  logic [BEAT_W-1:0] place;
  always_ff @(posedge clk) if (!rst_n) {frame, place} <= {pick_frame, pick_beat};
  always_comb if (!rst_n) assume (pick_beat <= BEAT_W'(OUT - 1));
  wire [BEAT_W-1:0] y = in_beat / BEAT_W'(WIDTH * WORDS);
  wire [BEAT_W-1:0] x = in_beat / BEAT_W'(WORDS) % BEAT_W'(WIDTH);
  wire inside_y = y / BEAT_W'(KH) == place / BEAT_W'(OW * WORDS);
  wire inside_x = x / BEAT_W'(KW) == place / BEAT_W'(WORDS) % BEAT_W'(OW);
  wire word = in_beat % BEAT_W'(WORDS) == place % BEAT_W'(WORDS);
  wire tap = goes_in && put == frame && inside_y && inside_x && word;
  wire first = y % BEAT_W'(KH) == '0 && x % BEAT_W'(KW) == '0;
  wire last = y % BEAT_W'(KH) == BEAT_W'(KH - 1) && x % BEAT_W'(KW) == BEAT_W'(KW - 1);

  wire [OUT_W-1:0] result, expected;
  localparam int KIND = BIPOLAR != 0 && SUM != 0 ? 0 : SIGNED != 0 ? 2 : 1;  // the maximum of bits is that of 0 and 1
  fv_reduction #(.W(IN_W), .OUT_W(OUT_W), .SUM(SUM), .KIND(KIND)) reduction (
      .clk, .tap, .first, .present(1'b1), .code(s_axis_tdata), .result
  );
  wire offered = m_axis_tvalid && got == frame && out_beat == place;
  fv_expected #(.W(OUT_W)) beat (
      .clk, .rst_n, .learn(tap && last), .value(result), .offered, .taken(offered && m_axis_tready), .known(), .expected
  );
  always_comb if (rst_n && offered) assert (m_axis_tdata == expected);

  fv_settles #(.LIMIT(2)) settles (
      .clk, .rst_n, .moves(goes_in || (m_axis_tvalid && m_axis_tready)), .free(m_axis_tready),
      .at_rest(s_axis_tready && (in_beat != '0 || (put == got && out_beat == '0)))
  );
endmodule
`default_nettype wire
