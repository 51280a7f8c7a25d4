// bx_equal against the plain loop.
`default_nettype none
module fv_equal #(
    parameter int N = 36
) (
    input wire [N-1:0] a,
    input wire [N-1:0] b
);
  localparam int W = $clog2(N + 1);
  wire [W-1:0] count;
  bx_equal #(.N(N)) dut (.a(a), .b(b), .count(count));

  wire [N-1:0] same = a ~^ b;
  logic [W-1:0] expected;
  always_comb begin
    expected = '0;
    for (int i = 0; i < N; i++) expected = expected + W'(same[i]);
  end
  always_comb assert (count == expected);
endmodule
`default_nettype wire
