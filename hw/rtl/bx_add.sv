// The weighted sum of two streams, element by element: A_GAIN * s0 + B_GAIN * s1, modulo 2^OUT_W.
//
// Both beats are taken in the same cycle: each waits for the other. A gain that is a power of 2 is wiring, and so is
// any gain of +-1; products of numbers with other gains take a register stage of their own. So a sum is offered one
// cycle after its beats, or two. A beat a cycle; all stages are frozen while an offered beat is not taken.
`default_nettype none
module bx_add #(
    parameter int PE     = 2,   // elements of a beat
    parameter int A_KIND = 2,   // elements of s0; 0: +-1 as bits 1 and 0, 1: unsigned, 2: two's complement
    parameter int A_W    = 4,   // bits of an element of s0
    parameter int A_GAIN = 3,   // not 0
    parameter int B_KIND = 0,   // the same of s1
    parameter int B_W    = 1,
    parameter int B_GAIN = -2,
    parameter int OUT_W  = 6    // bits of a sum
) (
    input  wire                 clk,
    input  wire                 rst_n,
    input  wire  [PE*A_W-1:0]   s0_axis_tdata,
    input  wire                 s0_axis_tvalid,
    output logic                s0_axis_tready,
    input  wire  [PE*B_W-1:0]   s1_axis_tdata,
    input  wire                 s1_axis_tvalid,
    output logic                s1_axis_tready,
    output logic [PE*OUT_W-1:0] m_axis_tdata,
    output logic                m_axis_tvalid,
    input  wire                 m_axis_tready
);
  localparam int A_FACTOR = A_GAIN < 0 ? -A_GAIN : A_GAIN;
  localparam int B_FACTOR = B_GAIN < 0 ? -B_GAIN : B_GAIN;
  localparam bit A_PRODUCT = A_KIND != 0 && (A_FACTOR & (A_FACTOR - 1)) != 0;
  localparam bit B_PRODUCT = B_KIND != 0 && (B_FACTOR & (B_FACTOR - 1)) != 0;

  if (PE < 1 || A_W < 1 || B_W < 1 || OUT_W < A_W || OUT_W < B_W) begin : g_check_sizes
    $error("bx_add: sizes must be at least 1 and OUT_W must hold the elements of both streams");
  end
  if ((A_KIND == 0 && A_W != 1) || (B_KIND == 0 && B_W != 1)) begin : g_check_bits
    $error("bx_add: +-1 is 1 bit");
  end
  if (A_GAIN == 0 || B_GAIN == 0) begin : g_check_gains
    $error("bx_add: gains must not be 0");
  end

  wire enable = !m_axis_tvalid || m_axis_tready;
  wire both = s0_axis_tvalid && s1_axis_tvalid;
  assign s0_axis_tready = enable && s1_axis_tvalid;
  assign s1_axis_tready = enable && s0_axis_tvalid;

  wire [PE*(A_W+B_W)-1:0] codes = {s1_axis_tdata, s0_axis_tdata};
  wire [2*PE*OUT_W-1:0] products;  // of s0, then of s1
  for (genvar i = 0; i < 2 * PE; i++) begin : g_element
    localparam int KIND = i < PE ? A_KIND : B_KIND;
    localparam int W = i < PE ? A_W : B_W;
    localparam int FACTOR = i < PE ? A_FACTOR : B_FACTOR;
    wire [W-1:0] code = codes[(i < PE ? i * A_W : PE * A_W + (i - PE) * B_W) +: W];
    if (KIND == 0) begin : g_bipolar
      assign products[i*OUT_W +: OUT_W] = code[0] ? OUT_W'(FACTOR) : OUT_W'(-FACTOR);
    end else begin : g_number
      wire [OUT_W-1:0] value = KIND == 2 ? OUT_W'($signed(code)) : OUT_W'(code);
      (* use_dsp = "no" *) wire [OUT_W-1:0] product = value * OUT_W'(FACTOR);
      assign products[i*OUT_W +: OUT_W] = product;
    end
  end

  logic [2*PE*OUT_W-1:0] terms;
  logic valid;
  if (A_PRODUCT || B_PRODUCT) begin : g_register
    always_ff @(posedge clk) if (enable) terms <= products;
    always_ff @(posedge clk) begin
      if (!rst_n) valid <= 1'b0;
      else if (enable) valid <= both;
    end
  end else begin : g_wires
    assign terms = products;
    assign valid = both;
  end

  for (genvar p = 0; p < PE; p++) begin : g_sum
    wire [OUT_W-1:0] a = terms[p*OUT_W +: OUT_W];
    wire [OUT_W-1:0] b = terms[(PE+p)*OUT_W +: OUT_W];
    always_ff @(posedge clk)
      if (enable) m_axis_tdata[p*OUT_W +: OUT_W] <= (A_GAIN < 0 ? -a : a) + (B_GAIN < 0 ? -b : b);
  end
  always_ff @(posedge clk) begin
    if (!rst_n) m_axis_tvalid <= 1'b0;
    else if (enable) m_axis_tvalid <= valid;
  end
endmodule
`default_nettype wire
