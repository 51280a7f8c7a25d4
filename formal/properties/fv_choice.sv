// The expert of a frame, as its definition says: the lowest e with the largest z[e] = w[e] * sums + b[e], where the
// product counts twice if DOUBLE.
`default_nettype none
module fv_choice #(
    parameter int PE       = 1,
    parameter int IN_W     = 1,
    parameter int SIGNED   = 0,
    parameter int DOUBLE   = 1,
    parameter int WORDS    = 1,
    parameter int EXPERTS  = 2,
    parameter int LANES    = 1,
    parameter int ELEMENTS = 1,
    parameter int SUM_W    = 2,
    parameter int WEIGHT_W = 2,
    parameter int Z_W      = 5,
    parameter int TOKEN_W  = 1,
    parameter int BEAT_W   = 2
) (
    input  wire                clk,
    input  wire                take,  // a beat of the frame
    input  wire  [ BEAT_W-1:0] beat,
    input  wire  [PE*IN_W-1:0] data,
    output logic [TOKEN_W-1:0] best   // if this beat is the frame's last
);
  localparam int C = PE * WORDS;
  localparam int PARTS = PE / ELEMENTS;
  logic [LANES*ELEMENTS*WEIGHT_W-1:0] weights[0:EXPERTS/LANES*WORDS*PARTS-1];
  logic [LANES*Z_W-1:0] bias[0:EXPERTS/LANES-1];
  initial $readmemh("gate.mem", weights);
  initial $readmemh("bias.mem", bias);

  logic [C*SUM_W-1:0] sums, next;
  wire [BEAT_W-1:0] word = beat % BEAT_W'(WORDS);
  for (genvar c = 0; c < C; c++) begin : g_sum
    wire [IN_W-1:0] code = data[c%PE*IN_W +: IN_W];
    wire [SUM_W-1:0] added = SIGNED != 0 ? SUM_W'($signed(code)) : SUM_W'(code);
    wire [SUM_W-1:0] sofar = beat < BEAT_W'(WORDS) ? '0 : sums[c*SUM_W +: SUM_W];
    assign next[c*SUM_W +: SUM_W] = word == BEAT_W'(c / PE) ? sofar + added : sums[c*SUM_W +: SUM_W];
  end
  always_ff @(posedge clk) if (take) sums <= next;

  // scores, and each one's place among those before it
  wire [EXPERTS*Z_W-1:0] z;
  for (genvar e = 0; e < EXPERTS; e++) begin : g_expert
    wire [(C+1)*Z_W-1:0] partial;
    assign partial[Z_W-1:0] = bias[e/LANES][e%LANES*Z_W +: Z_W];
    for (genvar c = 0; c < C; c++) begin : g_product
      localparam int STEP = (e / LANES * WORDS + c / PE) * PARTS + c % PE / ELEMENTS;
      wire [WEIGHT_W-1:0] weight = weights[STEP][(e%LANES*ELEMENTS+c%ELEMENTS)*WEIGHT_W +: WEIGHT_W];
      wire [SUM_W-1:0] sum = next[c*SUM_W +: SUM_W];
      wire [Z_W-1:0] factor = SIGNED != 0 ? Z_W'($signed(sum)) : Z_W'(sum);
      wire [Z_W-1:0] product = factor * Z_W'($signed(weight));
      assign partial[(c+1)*Z_W +: Z_W] = partial[c*Z_W +: Z_W] + (DOUBLE != 0 ? product << 1 : product);
    end
    assign z[e*Z_W +: Z_W] = partial[C*Z_W +: Z_W];
  end
  always_comb begin
    best = '0;
    for (int e = 1; e < EXPERTS; e++)
      if ($signed(z[e*Z_W +: Z_W]) > $signed(z[best*Z_W +: Z_W])) best = TOKEN_W'(e);
  end
endmodule
`default_nettype wire
