// Counts how often an expert layer uses each of its experts.
//
// One memory word for each expert, read, counted up and written in the cycle after a choice. After a reset the words are
// cleared one by one; choices of these EXPERTS cycles are not counted, which is why the shell lets no frame in before.
`default_nettype none
module bx_expert_meter #(
    parameter int EXPERTS = 4,
    parameter int W       = 32,  // bits of a counter
    parameter int IW      = $clog2(EXPERTS) > 0 ? $clog2(EXPERTS) : 1
) (
    input  wire           clk,
    input  wire           rst_n,
    input  wire  [IW-1:0] choice,
    input  wire           chosen,   // `choice` is made in this cycle
    input  wire  [IW-1:0] address,
    output logic [ W-1:0] count,    // of `address`, in the cycle after
    output logic          ready,    // all words are cleared
    output logic          overflow  // a counter has reached its end and stays there
);
  if (EXPERTS < 1) begin : g_check
    $error("bx_expert_meter: EXPERTS must be at least 1");
  end

  logic [W-1:0] counts[0:EXPERTS-1];
  logic [IW-1:0] at;  // the word to count up, or to clear
  logic counting;
  wire [W-1:0] old = counts[at];
  wire full = &old;

  always_ff @(posedge clk) if (!ready || counting) counts[at] <= !ready ? '0 : old + W'(!full);
  always_ff @(posedge clk) count <= counts[address];

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      at <= '0;
      counting <= 1'b0;
      ready <= 1'b0;
      overflow <= 1'b0;
    end else if (!ready) begin
      ready <= at == IW'(EXPERTS - 1);
      at <= at + 1'b1;
    end else begin
      at <= choice;
      counting <= chosen;
      if (counting && full) overflow <= 1'b1;
    end
  end
endmodule
`default_nettype wire
