// sum = base + the number of ones among N bits, six bits with each bx_add_ones.
`default_nettype none
module bx_sum_ones #(
    parameter int W     = 1,  // bits of the base
    parameter int N     = 10,
    parameter int SUM_W = 4   // bits of the sum
) (
    input  wire [W-1:0]     base,
    input  wire [N-1:0]     bits,
    output wire [SUM_W-1:0] sum
);
  localparam int STEPS = (N + 5) / 6;
  localparam int FULL = 6 * STEPS;
  wire [FULL-1:0] all = FULL'(bits);

  for (genvar s = 0; s < STEPS; s++) begin : g_step
    // the largest number that is possible so far
    localparam int MOST = (1 << W) - 1 + 6 * s;
    localparam int MORE = MOST + 6 < (1 << SUM_W) ? MOST + 6 : (1 << SUM_W) - 1;
    localparam int HAVE_W = $clog2(MOST + 1) < SUM_W ? $clog2(MOST + 1) : SUM_W;
    localparam int WANT_W = $clog2(MORE + 1);
    wire [HAVE_W-1:0] have;
    wire [WANT_W-1:0] next;
    if (s == 0) begin : g_base
      assign have = base;
    end else begin : g_more
      assign have = g_step[s-1].next;
    end
    bx_add_ones #(
        .W(HAVE_W), .SUM_W(WANT_W)
    ) add (
        .base(have), .bits(all[6*s +: 6]), .sum(next)
    );
  end
  assign sum = SUM_W'(g_step[STEPS-1].next);
endmodule
`default_nettype wire
