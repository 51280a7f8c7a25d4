// bx_slice: the wanted beats of every pixel, and no others.
`default_nettype none
module fv_slice #(
    parameter int W      = 1,
    parameter int BEATS  = 4,
    parameter int START  = 1,
    parameter int STOP   = 3,
    parameter int BEAT_W = $clog2(BEATS + 1)
) (
    input wire              clk,
    input wire              rst_n,
    input wire [     W-1:0] s_axis_tdata,
    input wire              s_axis_tvalid,
    input wire              m_axis_tready,
    input wire [       1:0] pick_frame,
    input wire [BEAT_W-1:0] pick_beat
);
  localparam int WANTED = STOP - START;
  wire s_axis_tready, m_axis_tvalid;
  wire [W-1:0] m_axis_tdata;
  bx_slice #(.W(W), .BEATS(BEATS), .START(START), .STOP(STOP)) dut (.*);

  fv_run run (.*);
  wire [1:0] put, got;
  wire [BEAT_W-1:0] in_beat, out_beat;
  fv_stream #(.W(W), .BEATS(BEATS), .ASSUMED(1), .BEAT_W(BEAT_W)) source (
      .clk, .rst_n, .tdata(s_axis_tdata), .tvalid(s_axis_tvalid), .tready(s_axis_tready), .beat(in_beat), .frame(put)
  );
  fv_stream #(.W(W), .BEATS(WANTED), .STREAK(WANTED == BEATS ? 2 * BEATS + 1 : WANTED), .BEAT_W(BEAT_W)) sink (
      .clk, .rst_n, .tdata(m_axis_tdata), .tvalid(m_axis_tvalid), .tready(m_axis_tready), .beat(out_beat), .frame(got)
  );
  wire goes_in = s_axis_tvalid && s_axis_tready;

  // -- any one wanted beat
  logic [1:0] frame;
  logic [BEAT_W-1:0] place;
  always_ff @(posedge clk) if (!rst_n) {frame, place} <= {pick_frame, pick_beat};
  always_comb if (!rst_n) assume (pick_beat <= BEAT_W'(WANTED - 1));
  wire offered = m_axis_tvalid && got == frame && out_beat == place;
  wire [W-1:0] expected;
  fv_expected #(.W(W)) beat (
      .clk, .rst_n, .learn(goes_in && put == frame && in_beat == place + BEAT_W'(START)), .value(s_axis_tdata),
      .offered, .taken(offered && m_axis_tready), .known(), .expected
  );
  always_comb if (rst_n && offered) assert (m_axis_tdata == expected);

  // the wanted beats that are in are out
  wire [1:0] next_frame = in_beat >= BEAT_W'(STOP) ? put + 2'd1 : put;
  wire amid = in_beat > BEAT_W'(START) && in_beat < BEAT_W'(STOP);
  wire [BEAT_W-1:0] next_beat = amid ? in_beat - BEAT_W'(START) : '0;
  fv_settles #(.LIMIT(2)) settles (
      .clk, .rst_n, .moves(goes_in || (m_axis_tvalid && m_axis_tready)), .free(m_axis_tready),
      .at_rest(s_axis_tready && {got, out_beat} == {next_frame, next_beat})
  );
endmodule
`default_nettype wire
