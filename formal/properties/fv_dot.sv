// bx_dot against the plain loop, LATENCY cycles later; all of its registers move together, with enable.
`default_nettype none
module fv_dot #(
    parameter int N       = 4,
    parameter int SLICE   = 32,
    parameter int A_KIND  = 0,
    parameter int A_BITS  = 1,
    parameter int B_KIND  = 0,
    parameter int B_BITS  = 1,
    parameter int HALF    = 0,
    parameter int LATENCY = 1,
    parameter int SUM_W   = $clog2(N + 1) + 1 - HALF
) (
    input wire                clk,
    input wire                enable,
    input wire [N*A_BITS-1:0] a,
    input wire [N*B_BITS-1:0] b,
    input wire                zero
);
  wire [SUM_W-1:0] sum;
  bx_dot #(
      .N(N), .SLICE(SLICE), .A_KIND(A_KIND), .A_BITS(A_BITS), .B_KIND(B_KIND), .B_BITS(B_BITS), .HALF(HALF),
      .SUM_W(SUM_W)
  ) dut (.*);

  // one product after the other; +-1 x +-1 comes as sum + N, or half of it
  localparam int WIDE = A_BITS + B_BITS + $clog2(N) + 2;
  wire [(N+1)*WIDE-1:0] sums;
  assign sums[WIDE-1:0] = '0;
  for (genvar i = 0; i < N; i++) begin : g_product
    wire [WIDE-1:0] x, y;
    fv_element #(.KIND(A_KIND), .W(A_BITS), .OUT_W(WIDE)) first (.code(a[i*A_BITS +: A_BITS]), .value(x));
    fv_element #(.KIND(B_KIND), .W(B_BITS), .OUT_W(WIDE)) second (.code(b[i*B_BITS +: B_BITS]), .value(y));
    assign sums[(i+1)*WIDE +: WIDE] = sums[i*WIDE +: WIDE] + (zero ? '0 : x * y);
  end
  wire [WIDE-1:0] total = sums[N*WIDE +: WIDE] + (B_KIND == 0 ? WIDE'(N) : '0);
  wire [SUM_W-1:0] now = SUM_W'(HALF != 0 ? total >> 1 : total);

  logic [LATENCY*SUM_W-1:0] expected;
  logic [LATENCY-1:0] known = '0;  // which of them are there
  always_ff @(posedge clk) begin
    if (enable) begin
      expected <= (LATENCY * SUM_W)'({expected, now});
      known <= LATENCY'({known, 1'b1});
    end
  end
  always_comb if (known[LATENCY-1]) assert (sum == expected[(LATENCY-1)*SUM_W +: SUM_W]);
endmodule
`default_nettype wire
