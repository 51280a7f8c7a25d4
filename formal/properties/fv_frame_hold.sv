// bx_frame_hold: a FIFO whose frame f leaves only after token f has been taken; tokens pass in order, none waits in it.
`default_nettype none
module fv_frame_hold #(
    parameter int BEATS   = 2,
    parameter int DEPTH   = 3,
    parameter int BEAT_W  = $clog2(BEATS) > 0 ? $clog2(BEATS) : 1,
    parameter int FRAME_W = $clog2(DEPTH + 3)
) (
    input wire               clk,
    input wire               rst_n,
    input wire               s_axis_tdata,
    input wire               s_axis_tvalid,
    input wire               s_token_tdata,
    input wire               s_token_tvalid,
    input wire               m_axis_tready,
    input wire               m_token_tready,
    input wire [FRAME_W-1:0] pick_frame,
    input wire [ BEAT_W-1:0] pick_beat
);
  wire s_axis_tready, s_token_tready, m_axis_tdata, m_axis_tvalid, m_token_tdata, m_token_tvalid;
  bx_frame_hold #(.W(1), .TOKEN_W(1), .BEATS(BEATS), .DEPTH(DEPTH)) dut (.*);

  fv_run run (.*);
  wire [FRAME_W-1:0] put, got, told;  // frames so far
  wire [BEAT_W-1:0] in_beat, out_beat;
  fv_stream #(.BEATS(BEATS), .FRAME_W(FRAME_W), .ASSUMED(1)) source (
      .clk, .rst_n, .tdata(s_axis_tdata), .tvalid(s_axis_tvalid), .tready(s_axis_tready), .beat(in_beat), .frame(put)
  );
  fv_stream #(.BEATS(BEATS), .FRAME_W(FRAME_W)) sink (
      .clk, .rst_n, .tdata(m_axis_tdata), .tvalid(m_axis_tvalid), .tready(m_axis_tready), .beat(out_beat), .frame(got)
  );
  fv_stream #(.FRAME_W(FRAME_W), .ASSUMED(1), .STREAK(2)) tokens_in (
      .clk, .rst_n, .tdata(s_token_tdata), .tvalid(s_token_tvalid), .tready(s_token_tready), .beat(), .frame(told)
  );
  fv_stream #(.FRAME_W(FRAME_W), .STREAK(2)) tokens_out (
      .clk, .rst_n, .tdata(m_token_tdata), .tvalid(m_token_tvalid), .tready(m_token_tready), .beat(), .frame()
  );
  wire goes_in = s_axis_tvalid && s_axis_tready;
  wire goes_out = m_axis_tvalid && m_axis_tready;
  wire token = s_token_tvalid && s_token_tready;

  // -- a frame leaves only after its token has come; at most two frames are told and not gone
  wire [FRAME_W-1:0] ahead = told - got;
  wire some = {put, in_beat} != {got, out_beat};
  always_comb if (rst_n) assert (ahead <= 2);
  always_comb if (rst_n) assert (m_axis_tvalid == (some && ahead != '0));

  // -- a token passes in one cycle, to the side that has room for it
  always_comb if (rst_n) assert (token == (m_token_tvalid && m_token_tready));
  always_comb if (rst_n) assert (m_token_tvalid == (s_token_tvalid && ahead != 2));
  always_comb if (rst_n && m_token_tvalid) assert (m_token_tdata == s_token_tdata);

  // -- any one beat
  logic [FRAME_W-1:0] frame;
  logic [BEAT_W-1:0] place;
  always_ff @(posedge clk) if (!rst_n) {frame, place} <= {pick_frame, pick_beat};
  always_comb if (!rst_n) assume (pick_beat <= BEAT_W'(BEATS - 1));
  wire offered = m_axis_tvalid && got == frame && out_beat == place;
  wire expected;
  fv_expected beat (
      .clk, .rst_n, .learn(goes_in && put == frame && in_beat == place), .value(s_axis_tdata),
      .offered, .taken(offered && m_axis_tready), .known(), .expected
  );
  always_comb if (rst_n && offered) assert (m_axis_tdata == expected);

  // told frames leave; a frame that is not told leaves room for DEPTH beats
  fv_settles #(.LIMIT(2)) settles (
      .clk, .rst_n, .moves(goes_in || goes_out || token), .free(m_axis_tready && m_token_tready),
      .at_rest((ahead == '0 || !some) && (ahead == 2 || s_token_tready) && (s_axis_tready || (ahead == '0 && some)))
  );

  // a token that comes before its frame, and a frame that waits for its token while the next one is entering
  always_comb cover (rst_n && ahead == 2 && !some);
  always_comb cover (rst_n && ahead == '0 && put != got && (BEATS == 1 || in_beat != '0));
endmodule
`default_nettype wire
