// bx_at_least against a subtraction: a >= b where a - b, one bit wider, is not negative.
`default_nettype none
module fv_at_least #(
    parameter int W      = 8,
    parameter int SIGNED = 1
) (
    input wire [W-1:0] a,
    input wire [W-1:0] b,
    input wire         flip
);
  wire result;
  bx_at_least #(.W(W), .SIGNED(SIGNED)) dut (.a(a), .b(b), .flip(flip), .result(result));

  wire [W:0] wide_a = {SIGNED != 0 && a[W-1], a};
  wire [W:0] wide_b = {SIGNED != 0 && b[W-1], b};
  wire [W:0] difference = wide_a - wide_b;
  always_comb assert (result == (!difference[W] ^ flip));
endmodule
`default_nettype wire
