// Joins the channels of two streams: of every pixel FIRST_BEATS beats of s0, then SECOND_BEATS beats of s1.
//
// Elements narrower than those of the output are converted: bits to +1 and -1, numbers by zero or sign extension.
// One register stage, frozen while an offered beat is not taken. A beat a cycle comes from the stream whose turn it
// is and is offered in the next cycle; the other stream waits. No cycle is lost between turns, pixels or frames.
`default_nettype none
module bx_concat #(
    parameter int PE           = 2,  // elements of a beat
    parameter int FIRST_KIND   = 0,  // elements of s0; 0: +-1 as bits 1 and 0, 1: unsigned, 2: two's complement
    parameter int FIRST_W      = 1,  // bits of an element of s0
    parameter int FIRST_BEATS  = 2,  // beats of a pixel of s0
    parameter int SECOND_KIND  = 1,  // the same of s1
    parameter int SECOND_W     = 3,
    parameter int SECOND_BEATS = 3,
    parameter int OUT_W        = 4   // bits of an output element
) (
    input  wire                    clk,
    input  wire                    rst_n,
    input  wire  [PE*FIRST_W-1:0]  s0_axis_tdata,
    input  wire                    s0_axis_tvalid,
    output logic                   s0_axis_tready,
    input  wire  [PE*SECOND_W-1:0] s1_axis_tdata,
    input  wire                    s1_axis_tvalid,
    output logic                   s1_axis_tready,
    output logic [PE*OUT_W-1:0]    m_axis_tdata,
    output logic                   m_axis_tvalid,
    input  wire                    m_axis_tready
);
  localparam int BEATS = FIRST_BEATS + SECOND_BEATS;
  localparam int BW = $clog2(BEATS);

  if (PE < 1 || FIRST_W < 1 || FIRST_BEATS < 1 || SECOND_W < 1 || SECOND_BEATS < 1) begin : g_check_sizes
    $error("bx_concat: sizes must be at least 1");
  end
  if (OUT_W < FIRST_W || OUT_W < SECOND_W || (FIRST_KIND != SECOND_KIND && OUT_W == 1)) begin : g_check_width
    $error("bx_concat: OUT_W must hold the elements of both streams");
  end
  if ((FIRST_KIND == 0 && FIRST_W != 1) || (SECOND_KIND == 0 && SECOND_W != 1)) begin : g_check_bits
    $error("bx_concat: +-1 is 1 bit");
  end

  logic [BW-1:0] beat;  // of the pixel
  wire second = beat >= BW'(FIRST_BEATS);
  wire enable = !m_axis_tvalid || m_axis_tready;
  wire take = enable && (second ? s1_axis_tvalid : s0_axis_tvalid);
  assign s0_axis_tready = enable && !second;
  assign s1_axis_tready = enable && second;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      beat <= '0;
      m_axis_tvalid <= 1'b0;
    end else if (enable) begin
      m_axis_tvalid <= take;
      if (take) beat <= beat == BW'(BEATS - 1) ? '0 : beat + 1'b1;
    end
  end

  wire [PE*(FIRST_W+SECOND_W)-1:0] codes = {s1_axis_tdata, s0_axis_tdata};
  wire [2*PE*OUT_W-1:0] values;  // of s0, then of s1
  for (genvar i = 0; i < 2 * PE; i++) begin : g_element
    localparam int KIND = i < PE ? FIRST_KIND : SECOND_KIND;
    localparam int W = i < PE ? FIRST_W : SECOND_W;
    wire [W-1:0] code = codes[(i < PE ? i * FIRST_W : PE * FIRST_W + (i - PE) * SECOND_W) +: W];
    if (KIND == 0 && OUT_W > 1) begin : g_bipolar
      assign values[i*OUT_W +: OUT_W] = code[0] ? OUT_W'(1) : '1;
    end else begin : g_same
      assign values[i*OUT_W +: OUT_W] = KIND == 2 ? OUT_W'($signed(code)) : OUT_W'(code);
    end
  end
  always_ff @(posedge clk)
    if (enable) m_axis_tdata <= second ? values[PE*OUT_W +: PE*OUT_W] : values[0 +: PE*OUT_W];
endmodule
`default_nettype wire
