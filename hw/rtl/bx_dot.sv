// Sum of N products a*b: SLICE of them are summed in one cycle, then, if there are more, the slices. The sum comes
// one cycle after its operands, one more if N > SLICE, and one more if a product has more than one term.
//
// +-1 x +-1 is xnor and popcount: the sum comes out as sum + N, which is twice the number of equal bits.
// Otherwise a is read as TERMS digits -2..2 of base 4 (Booth's recoding); a +-1 is one digit. A digit's term is 0,
// b or 2b, inverted if the digit is negative, where adding 1 completes the negation: one LUT a bit, in front of
// the adder. Products of several terms are registered before they are summed. No DSPs.
`default_nettype none
module bx_dot #(
    parameter int N      = 6,   // products
    parameter int SLICE  = 4,   // products summed in one cycle; even
    parameter int A_KIND = 2,   // 0: +-1 as bits 1 and 0, 1: unsigned, 2: two's complement
    parameter int A_BITS = 4,
    parameter int B_KIND = 1,   // as A_KIND, but 0 only together with A_KIND 0
    parameter int B_BITS = 8,
    parameter int CONSTANT = 0, // +-1 x +-1: a never changes, so that the xnor costs nothing
    parameter int HALF   = 0,   // +-1 x +-1: the sum comes out as (sum + N) / 2; N even if zero is used
    parameter int SUM_W  = 15   // bits of the sum
) (
    input  wire                 clk,
    input  wire                 enable,
    input  wire  [N*A_BITS-1:0] a,
    input  wire  [N*B_BITS-1:0] b,
    input  wire                 zero,  // all products are 0, whatever a and b are
    output logic [SUM_W-1:0]    sum
);
  localparam bit COUNTS = B_KIND == 0;
  localparam int TERMS = A_KIND == 0 ? 1 : (A_BITS + (A_KIND == 1 ? 1 : 0) + 1) / 2;
  localparam int SLICES = (N + SLICE - 1) / SLICE;
  localparam int MOST = SLICES > 1 ? SLICE : N;
  localparam int PART_W = COUNTS ? $clog2(MOST + 1) + (HALF != 0 ? 0 : 1) : A_BITS + B_BITS + $clog2(MOST);
  localparam int T_W = TERMS > 1 ? B_BITS + 2 : PART_W;  // of a term
  localparam int P_W = A_BITS + B_BITS;                  // of a product

  if (N < 1 || SLICE < 2 || SLICE % 2 != 0) begin : g_check_sizes
    $error("bx_dot: N must be at least 1 and SLICE even");
  end
  if (A_KIND < 0 || A_KIND > 2 || B_KIND < 0 || B_KIND > 2 || (B_KIND == 0 && A_KIND != 0)) begin : g_check_kinds
    $error("bx_dot: A_KIND and B_KIND must be 0..2; +-1 in b needs +-1 in a");
  end
  if ((A_KIND == 0 && A_BITS != 1) || (B_KIND == 0 && B_BITS != 1)) begin : g_check_bits
    $error("bx_dot: +-1 is 1 bit");
  end

  // -- sums of slices; a product of several terms takes a register first
  logic [SLICES*PART_W-1:0] parts;
  for (genvar s = 0; s < SLICES; s++) begin : g_slice
    localparam int LOW = s * SLICE;
    localparam int M = N - LOW < SLICE ? N - LOW : SLICE;
    wire [M*A_BITS-1:0] x = a[LOW*A_BITS +: M*A_BITS];
    wire [M*B_BITS-1:0] y = b[LOW*B_BITS +: M*B_BITS];
    logic [PART_W-1:0] part;

    if (COUNTS) begin : g_bits
      wire [$clog2(M+1)-1:0] equal;
      if (CONSTANT != 0) begin : g_constant
        bx_ones #(.N(M)) pairs (.bits(~(x ^ y)), .count(equal));
      end else begin : g_pairs
        bx_equal #(.N(M)) pairs (.a(x), .b(y), .count(equal));
      end
      assign part = zero ? PART_W'(HALF != 0 ? M / 2 : M) : PART_W'(equal) << (HALF != 0 ? 0 : 1);
    end else begin : g_numbers
      logic [M*TERMS-1:0] negative;
      logic [M*TERMS*T_W-1:0] terms;  // where negative, 1 is missing
      for (genvar i = 0; i < M * TERMS; i++) begin : g_term
        localparam int P = i / TERMS;
        localparam int BIT = 2 * (i % TERMS);  // the digit is -2, 1 and 1 times the bits BIT+1, BIT and BIT-1 of a
        wire [B_BITS:0] value = {B_KIND == 2 && y[P*B_BITS+B_BITS-1], y[P*B_BITS +: B_BITS]};
        logic [T_W-1:0] term;
        if (A_KIND == 0) begin : g_sign
          assign negative[i] = !x[i];
          assign term = T_W'($signed(value));
        end else begin : g_digit
          localparam int TOP = BIT + 1 < A_BITS ? BIT + 1 : A_BITS - 1;
          wire high = (TOP == BIT + 1 || A_KIND == 2) && x[P*A_BITS+TOP];
          wire middle = BIT < A_BITS && x[P*A_BITS+(BIT < A_BITS ? BIT : 0)];
          wire low = BIT > 0 && x[P*A_BITS+(BIT > 0 ? BIT - 1 : 0)];
          assign negative[i] = high;
          assign term = middle != low ? T_W'($signed(value)) : high != middle ? T_W'($signed({value, 1'b0})) : '0;
        end
        assign terms[i*T_W +: T_W] = term ^ {T_W{negative[i]}};
      end
      if (TERMS == 1) begin : g_once
        always_comb begin
          part = PART_W'($countones(negative));
          for (int i = 0; i < M; i++) part = part + terms[i*T_W +: T_W];
          if (zero) part = '0;
        end
      end else begin : g_twice
        logic [M*P_W-1:0] products;
        for (genvar i = 0; i < M; i++) begin : g_product
          // digit by digit from the lowest one on; each leaves two bits that the others do not change
          localparam int R_W = B_BITS + 3;
          logic signed [R_W-1:0] rest;
          logic [2*TERMS-1:0] low;
          always_comb begin
            rest = '0;
            for (int t = i * TERMS; t < (i + 1) * TERMS; t++) begin
              rest = (rest >>> 2) + R_W'($signed(terms[t*T_W +: T_W])) + R_W'($signed({1'b0, negative[t]}));
              low[2*(t-i*TERMS) +: 2] = rest[1:0];
            end
          end
          always_ff @(posedge clk)
            if (enable) products[i*P_W +: P_W] <= zero ? '0 : P_W'($signed({rest[R_W-1:2], low}));
        end
        always_comb begin
          part = '0;
          for (int i = 0; i < M; i++) part = part + PART_W'($signed(products[i*P_W +: P_W]));
        end
      end
    end
    always_ff @(posedge clk) if (enable) parts[s*PART_W +: PART_W] <= part;
  end

  // -- sum of the slices
  if (SLICES > 1) begin : g_register
    logic [SUM_W-1:0] total;
    always_comb begin
      total = '0;
      for (int s = 0; s < SLICES; s++)
        total = total + SUM_W'($signed({!COUNTS && parts[s*PART_W+PART_W-1], parts[s*PART_W +: PART_W]}));
    end
    always_ff @(posedge clk) if (enable) sum <= total;
  end else begin : g_whole
    assign sum = SUM_W'($signed({!COUNTS && parts[PART_W-1], parts}));
  end
endmodule
`default_nettype wire
