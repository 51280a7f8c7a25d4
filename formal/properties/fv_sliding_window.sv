// bx_sliding_window: each word is the one that the kernel's tap names, or padding and marked so.
`default_nettype none
module fv_sliding_window #(
    parameter int HEIGHT     = 3,
    parameter int WIDTH      = 2,
    parameter int WORDS      = 1,
    parameter int GROUPS     = 1,
    parameter int KH         = 2,
    parameter int KW         = 2,
    parameter int SH         = 1,
    parameter int SW         = 1,
    parameter int DH         = 1,
    parameter int DW         = 1,
    parameter int PAD_TOP    = 0,
    parameter int PAD_LEFT   = 0,
    parameter int PAD_BOTTOM = 0,
    parameter int PAD_RIGHT  = 0,
    parameter int MASKED     = 0,
    parameter int ROWS       = 3,
    parameter int PAD        = 0,
    parameter int TAP        = WORDS / GROUPS,
    parameter int OH         = (HEIGHT + PAD_TOP + PAD_BOTTOM - (KH - 1) * DH - 1) / SH + 1,
    parameter int OW         = (WIDTH + PAD_LEFT + PAD_RIGHT - (KW - 1) * DW - 1) / SW + 1,
    parameter int IN         = HEIGHT * WIDTH * WORDS,
    parameter int OUT        = OH * OW * GROUPS * KH * KW * TAP,
    parameter int BEAT_W     = $clog2(IN > OUT ? IN + 1 : OUT + 1)
) (
    input wire              clk,
    input wire              rst_n,
    input wire              s_axis_tdata,
    input wire              s_axis_tvalid,
    input wire              m_axis_tready,
    input wire [       1:0] pick_frame,
    input wire [BEAT_W-1:0] pick_beat
);
  wire s_axis_tready, m_axis_tvalid;
  wire [MASKED:0] m_axis_tdata;
  bx_sliding_window #(
      .SIMD(1), .BITS(1), .HEIGHT(HEIGHT), .WIDTH(WIDTH), .WORDS(WORDS), .GROUPS(GROUPS), .KH(KH), .KW(KW),
      .SH(SH), .SW(SW), .DH(DH), .DW(DW), .PAD_TOP(PAD_TOP), .PAD_LEFT(PAD_LEFT), .PAD_BOTTOM(PAD_BOTTOM),
      .PAD_RIGHT(PAD_RIGHT), .MASKED(MASKED), .ROWS(ROWS), .PAD(PAD)
  ) dut (.*);

  fv_run run (.*);
  wire [1:0] put, got;
  wire [BEAT_W-1:0] in_beat, out_beat;
  fv_stream #(
      .W(1), .BEATS(IN), .ASSUMED(1), .STREAK(ROWS * WIDTH * WORDS), .BEAT_W(BEAT_W),
      .WAITS((OH - 1) * SH > PAD_TOP ? 1 : 0)  // where rows are freed within a frame
  ) source (
      .clk, .rst_n, .tdata(s_axis_tdata), .tvalid(s_axis_tvalid), .tready(s_axis_tready), .beat(in_beat), .frame(put)
  );
  fv_stream #(.W(MASKED + 1), .BEATS(OUT), .STREAK(OUT + 2), .BEAT_W(BEAT_W)) sink (
      .clk, .rst_n, .tdata(m_axis_tdata), .tvalid(m_axis_tvalid), .tready(m_axis_tready), .beat(out_beat), .frame(got)
  );
  wire goes_in = s_axis_tvalid && s_axis_tready;

  // -- any one word: [pixel][group][kernel row][kernel column][word], and the place in the frame that it comes from
  logic [1:0] frame;
  logic [BEAT_W-1:0] place, origin;
  logic padded;
  always_ff @(posedge clk) if (!rst_n) {frame, place} <= {pick_frame, pick_beat};
  always_comb if (!rst_n) assume (pick_beat <= BEAT_W'(OUT - 1));
  always_comb begin
    padded = 1'b0;
    origin = '0;
    for (int o = 0; o < OUT; o++) begin
      int y, x;
      y = o / (OW * GROUPS * KH * KW * TAP) * SH - PAD_TOP + o / (KW * TAP) % KH * DH;
      x = o / (GROUPS * KH * KW * TAP) % OW * SW - PAD_LEFT + o / TAP % KW * DW;
      if (place == BEAT_W'(o)) begin
        padded = y < 0 || y >= HEIGHT || x < 0 || x >= WIDTH;
        origin = BEAT_W'((y * WIDTH + x) * WORDS + o / (KH * KW * TAP) % GROUPS * TAP + o % TAP);
      end
    end
  end
  wire offered = m_axis_tvalid && got == frame && out_beat == place;
  wire expected;
  wire from_frame = offered && !padded;
  fv_expected beat (
      .clk, .rst_n, .learn(goes_in && put == frame && in_beat == origin && !padded), .value(s_axis_tdata),
      .offered(from_frame), .taken(from_frame && m_axis_tready), .known(), .expected
  );
  always_comb if (rst_n && offered) assert (m_axis_tdata[0] == (padded ? PAD != 0 : expected));
  if (MASKED != 0) begin : g_masked
    always_comb if (rst_n && offered) assert (m_axis_tdata[MASKED] == !padded);
  end

  // what is at rest waits for a row of its frame, which it lets in; between frames, all is out, or all but padding
  fv_settles #(.LIMIT(3)) settles (
      .clk, .rst_n, .moves(goes_in || (m_axis_tvalid && m_axis_tready)), .free(m_axis_tready),
      .at_rest(s_axis_tready && (in_beat != '0 || (put == got && out_beat == '0)))
  );
endmodule
`default_nettype wire
