// A run begins with a reset; later ones may come at any time.
`default_nettype none
module fv_run (
    input wire clk,
    input wire rst_n
);
  logic begun = 1'b0;
  always_ff @(posedge clk) begun <= 1'b1;
  always_comb if (!begun) assume (!rst_n);
endmodule
`default_nettype wire
