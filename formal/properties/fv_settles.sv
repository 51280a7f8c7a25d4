// A cell whose outputs are all taken comes to rest within LIMIT cycles, owes nothing then, and takes the next beat.
`default_nettype none
module fv_settles #(
    parameter int LIMIT = 8
) (
    input wire clk,
    input wire rst_n,
    input wire moves,    // a beat passes on any side
    input wire free,     // every output is ready
    input wire at_rest   // nothing is owed and every input is ready, as far as the frame needs it now
);
  localparam int CW = $clog2(LIMIT + 1);
  logic [CW-1:0] still;
  always_ff @(posedge clk) still <= !rst_n || moves || !free ? '0 : still + CW'(still != CW'(LIMIT));
  always_comb if (rst_n && free && still == CW'(LIMIT)) assert (at_rest || moves);
endmodule
`default_nettype wire
