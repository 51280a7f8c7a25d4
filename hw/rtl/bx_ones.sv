// The number of ones among N bits. Up to 19 bits are a chain of three bx_add_ones, nine LUTs; the counts of such
// groups are added. About two thirds of a LUT a bit. What inverts a bit vanishes in these LUTs. Simulators just count.
`default_nettype none
module bx_ones #(
    parameter int N = 36
) (
    input  wire [N-1:0]             bits,
    output wire [$clog2(N + 1)-1:0] count
);
  localparam int W = $clog2(N + 1);
`ifdef SYNTHESIS
  localparam int GROUP = 19;
  localparam int GROUPS = (N + GROUP - 1) / GROUP;
  for (genvar g = 0; g < GROUPS; g++) begin : g_group
    localparam int LOW = g * GROUP;
    localparam int M = N - LOW < GROUP ? N - LOW : GROUP;
    localparam int PART_W = $clog2(M + 1);
    wire [PART_W-1:0] part;
    wire [W-1:0] sum;
    if (M == 1) begin : g_one
      assign part = bits[LOW];
    end else begin : g_more
      bx_sum_ones #(
          .W(1), .N(M - 1), .SUM_W(PART_W)
      ) ones (
          .base(bits[LOW]), .bits(bits[LOW+1 +: M-1]), .sum(part)
      );
    end
    if (g == 0) begin : g_first
      assign sum = W'(part);
    end else begin : g_next
      assign sum = g_group[g-1].sum + W'(part);
    end
  end
  assign count = g_group[GROUPS-1].sum;
`else
  assign count = W'($countones(bits));
`endif
endmodule
`default_nettype wire
