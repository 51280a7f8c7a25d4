// One stream of a cell: AXI4-Stream's rule, the count of its beats, and the situations that a proof must have met.
//
// The rule: a beat that is offered stays, unchanged, until it is taken. ASSUMED = 1 demands it of a harness' free
// inputs, ASSUMED = 0 proves it of the cell.
`default_nettype none
module fv_stream #(
    parameter int W       = 1,
    parameter int BEATS   = 1,  // beats of a frame
    parameter int FRAME_W = 2,  // 2^FRAME_W is more than the frames that the cell can hold
    parameter int ASSUMED = 0,
    parameter int STREAK  = 2 * BEATS + 1,  // beats that can pass in successive cycles
    parameter int WAITS   = 1,  // any beat of a frame, from the second one on if there is one, can have to wait
    parameter int BEAT_W  = $clog2(BEATS) > 0 ? $clog2(BEATS) : 1
) (
    input  wire                clk,
    input  wire                rst_n,
    input  wire  [      W-1:0] tdata,
    input  wire                tvalid,
    input  wire                tready,
    output logic [ BEAT_W-1:0] beat,   // next to pass: its place in the frame
    output logic [FRAME_W-1:0] frame   // and the number of its frame, modulo 2^FRAME_W
);
  wire fire = tvalid && tready;
  wire last = beat == BEAT_W'(BEATS - 1);
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      beat  <= '0;
      frame <= '0;
    end else if (fire) begin
      beat <= last ? '0 : beat + 1'b1;
      if (last) frame <= frame + 1'b1;
    end
  end

  // -- the rule
  logic waited;  // the beat offered in the cycle before was not taken
  logic [W-1:0] offered;
  always_ff @(posedge clk) begin
    waited  <= rst_n && tvalid && !tready;
    offered <= tdata;
  end
  if (ASSUMED != 0) begin : g_assume
    always_comb if (rst_n && waited) assume (tvalid && tdata == offered);
  end else begin : g_assert
    always_comb if (rst_n && waited) assert (tvalid);
    always_comb if (rst_n && waited) assert (tdata == offered);
  end

  // -- frames without a gap, and a frame that was held up in its middle and yet finished
  if (STREAK > 0) begin : g_streak
    localparam int CW = $clog2(STREAK + 1);
    logic [CW-1:0] streak;
    always_ff @(posedge clk) streak <= !rst_n || !fire ? '0 : streak + CW'(streak != CW'(STREAK));
    always_comb cover (rst_n && streak == CW'(STREAK));
  end
  if (WAITS != 0) begin : g_waits
    logic held_up;
    always_ff @(posedge clk) begin
      if (!rst_n || (fire && last)) held_up <= 1'b0;
      else if (tvalid && !tready && (BEATS == 1 || beat != '0)) held_up <= 1'b1;
    end
    always_comb cover (rst_n && held_up && fire && last);
  end
endmodule
`default_nettype wire
