// Number of equal bits of two words: xnor and popcount.
//
// Three pairs of bits are six inputs: two LUTs give how many of them are equal, as a one and a two. The twos are
// summed, then the ones are added to twice their sum. About one LUT a bit in all. Simulators just count.
`default_nettype none
module bx_equal #(
    parameter int N = 36
) (
    input  wire [N-1:0]             a,
    input  wire [N-1:0]             b,
    output wire [$clog2(N + 1)-1:0] count
);
  localparam int W = $clog2(N + 1);
`ifdef SYNTHESIS
  localparam int TRIPLES = (N + 2) / 3;
  localparam int PAIRS = 3 * TRIPLES;
  localparam int TWOS_W = $clog2(TRIPLES + 1);
  // the missing pairs of the last triple differ
  wire [PAIRS-1:0] x = PAIRS'(a);
  wire [PAIRS-1:0] y = PAIRS'(b) ^ ({PAIRS{1'b1}} << N);
  wire [TRIPLES-1:0] ones, twos;
  for (genvar i = 0; i < TRIPLES; i++) begin : g_triple
    bx_equal_three three (.a(x[3*i +: 3]), .b(y[3*i +: 3]), .count({twos[i], ones[i]}));
  end

  if (TRIPLES == 1) begin : g_one
    assign count = W'({twos, ones});
  end else begin : g_sum
    wire [TWOS_W-1:0] number_of_twos;
    wire [TWOS_W+1:0] sum;
    bx_sum_ones #(
        .W(1), .N(TRIPLES - 1), .SUM_W(TWOS_W)
    ) sum_twos (
        .base(twos[0]), .bits(twos[TRIPLES-1:1]), .sum(number_of_twos)
    );
    bx_sum_ones #(
        .W(TWOS_W + 1), .N(TRIPLES - 1), .SUM_W(TWOS_W + 2)
    ) sum_ones (
        .base({number_of_twos, ones[0]}), .bits(ones[TRIPLES-1:1]), .sum(sum)
    );
    assign count = sum[W-1:0];
  end
`else
  assign count = W'($countones(~(a ^ b)));
`endif
endmodule
`default_nettype wire
