// bx_ones against the plain loop.
`default_nettype none
module fv_ones #(
    parameter int N = 36
) (
    input wire [N-1:0] bits
);
  localparam int W = $clog2(N + 1);
  wire [W-1:0] count;
  bx_ones #(.N(N)) dut (.bits(bits), .count(count));

  logic [W-1:0] expected;
  always_comb begin
    expected = '0;
    for (int i = 0; i < N; i++) expected = expected + W'(bits[i]);
  end
  always_comb assert (count == expected);
endmodule
`default_nettype wire
