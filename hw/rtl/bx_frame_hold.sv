// Keeps the beats of a frame until the frame's token has come, and passes the token on.
//
// A FIFO of DEPTH beats, then a gate that is open while released frames are left. A token taken in cycle t
// releases its frame from t+1 on; it leaves on m_token in the same cycle. The next frame's token is taken
// while the present frame leaves (at most two frames are released and not gone), so frames follow each other
// without a gap. An input beat of cycle t can leave in t+1.
`default_nettype none
module bx_frame_hold #(
    parameter int W       = 8,   // bits of a beat
    parameter int TOKEN_W = 1,   // bits of a token
    parameter int BEATS   = 16,  // beats in a frame
    parameter int DEPTH   = 24   // beats of room, at least 2
) (
    input  wire                clk,
    input  wire                rst_n,
    input  wire  [W-1:0]       s_axis_tdata,
    input  wire                s_axis_tvalid,
    output logic               s_axis_tready,
    input  wire  [TOKEN_W-1:0] s_token_tdata,
    input  wire                s_token_tvalid,
    output logic               s_token_tready,
    output logic [W-1:0]       m_axis_tdata,
    output logic               m_axis_tvalid,
    input  wire                m_axis_tready,
    output logic [TOKEN_W-1:0] m_token_tdata,
    output logic               m_token_tvalid,
    input  wire                m_token_tready
);
  localparam int CW = $clog2(BEATS) > 0 ? $clog2(BEATS) : 1;

  if (BEATS < 1 || DEPTH < 2) begin : g_check
    $error("bx_frame_hold: BEATS must be at least 1 and DEPTH at least 2");
  end

  logic [1:0] released;   // frames whose token has been taken and whose last beat has not left
  logic [CW-1:0] beat;    // position in the frame that leaves
  wire open = released != 2'd0;
  wire token_room = released != 2'd2;

  assign m_token_tdata  = s_token_tdata;
  assign m_token_tvalid = s_token_tvalid && token_room;
  assign s_token_tready = m_token_tready && token_room;

  logic held;
  assign m_axis_tvalid = held && open;
  bx_fifo #(
      .W    (W),
      .DEPTH(DEPTH)
  ) hold (
      .clk(clk),
      .rst_n(rst_n),
      .s_axis_tdata(s_axis_tdata),
      .s_axis_tvalid(s_axis_tvalid),
      .s_axis_tready(s_axis_tready),
      .m_axis_tdata(m_axis_tdata),
      .m_axis_tvalid(held),
      .m_axis_tready(m_axis_tready && open)
  );

  wire leave = m_axis_tvalid && m_axis_tready;
  wire last = beat == CW'(BEATS - 1);
  wire token = s_token_tvalid && s_token_tready;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      released <= 2'd0;
      beat <= '0;
    end else begin
      released <= released + 2'(token) - 2'(leave && last);
      if (leave) beat <= last ? '0 : beat + 1'b1;
    end
  end
endmodule
`default_nettype wire
