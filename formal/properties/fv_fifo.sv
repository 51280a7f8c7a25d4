// bx_fifo: what goes in comes out, in order, once; and exactly when its header says.
`default_nettype none
module fv_fifo #(
    parameter int W       = 1,
    parameter int DEPTH   = 3,
    parameter int FRAME_W = $clog2(DEPTH + 1)
) (
    input wire               clk,
    input wire               rst_n,
    input wire [      W-1:0] s_axis_tdata,
    input wire               s_axis_tvalid,
    input wire               m_axis_tready,
    input wire [FRAME_W-1:0] pick
);
  wire s_axis_tready, m_axis_tvalid;
  wire [W-1:0] m_axis_tdata;
  bx_fifo #(.W(W), .DEPTH(DEPTH)) dut (.*);

  fv_run run (.*);
  wire [FRAME_W-1:0] put, got;  // beats so far: a frame is a beat
  fv_stream #(.W(W), .FRAME_W(FRAME_W), .ASSUMED(1), .STREAK(DEPTH + 2)) source (
      .clk, .rst_n, .tdata(s_axis_tdata), .tvalid(s_axis_tvalid), .tready(s_axis_tready), .beat(), .frame(put)
  );
  fv_stream #(.W(W), .FRAME_W(FRAME_W), .STREAK(DEPTH + 2)) sink (
      .clk, .rst_n, .tdata(m_axis_tdata), .tvalid(m_axis_tvalid), .tready(m_axis_tready), .beat(), .frame(got)
  );

  // -- room and beats, cycle by cycle
  wire [FRAME_W-1:0] held = put - got;
  logic running;  // no reset in the cycle before
  always_ff @(posedge clk) running <= rst_n;
  always_comb if (rst_n && running) assert (s_axis_tready == (held < FRAME_W'(DEPTH)));
  always_comb if (rst_n) assert (m_axis_tvalid == (held != '0));

  // -- any one beat
  logic [FRAME_W-1:0] frame;
  always_ff @(posedge clk) if (!rst_n) frame <= pick;
  wire offered = m_axis_tvalid && got == frame;
  wire [W-1:0] expected;
  fv_expected #(.W(W)) beat (
      .clk, .rst_n, .learn(s_axis_tvalid && s_axis_tready && put == frame), .value(s_axis_tdata),
      .offered, .taken(offered && m_axis_tready), .known(), .expected
  );
  always_comb if (rst_n && offered) assert (m_axis_tdata == expected);

  logic was_full;
  always_ff @(posedge clk) was_full <= rst_n && (was_full || held == FRAME_W'(DEPTH));
  always_comb cover (rst_n && was_full && held == '0);
endmodule
`default_nettype wire
