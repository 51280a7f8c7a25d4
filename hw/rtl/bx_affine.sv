// A factor and an offset for each channel: GAIN * x + offset, modulo 2^OUT_W.
//
// Two register stages (product and offset memory, sum), frozen while an offered beat is not taken. A beat a cycle, no
// bubble between pixels or frames.
`default_nettype none
module bx_affine #(
    parameter int PE       = 2,   // elements of a beat
    parameter int BEATS    = 3,   // beats of a pixel
    parameter int KIND     = 2,   // 0: +-1 as bits 1 and 0, 1: unsigned, 2: two's complement
    parameter int IN_W     = 4,   // bits of an input element
    parameter int GAIN     = -3,  // not 0
    parameter int OFFSET_W = 5,   // bits of an offset, two's complement
    parameter int OUT_W    = 7,   // bits of a result
    parameter     OFFSETS  = "offsets.mem"  // a word for each beat of a pixel: PE offsets
) (
    input  wire                 clk,
    input  wire                 rst_n,
    input  wire  [PE*IN_W-1:0]  s_axis_tdata,
    input  wire                 s_axis_tvalid,
    output logic                s_axis_tready,
    output logic [PE*OUT_W-1:0] m_axis_tdata,
    output logic                m_axis_tvalid,
    input  wire                 m_axis_tready
);
  localparam int BW = $clog2(BEATS) > 0 ? $clog2(BEATS) : 1;
  localparam int FACTOR = GAIN < 0 ? -GAIN : GAIN;

  if (PE < 1 || BEATS < 1 || IN_W < 1 || OFFSET_W < 1 || OUT_W < IN_W || OUT_W < OFFSET_W) begin : g_check_sizes
    $error("bx_affine: sizes must be at least 1 and OUT_W must hold elements and offsets");
  end
  if (GAIN == 0 || (KIND == 0 && IN_W != 1)) begin : g_check_values
    $error("bx_affine: GAIN must not be 0, and +-1 is 1 bit");
  end

  wire enable = !m_axis_tvalid || m_axis_tready;
  wire take = enable && s_axis_tvalid;
  logic [BW-1:0] beat;  // of the pixel
  logic valid;
  assign s_axis_tready = enable;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      beat <= '0;
      valid <= 1'b0;
      m_axis_tvalid <= 1'b0;
    end else if (enable) begin
      if (take) beat <= beat == BW'(BEATS - 1) ? '0 : beat + 1'b1;
      valid <= take;
      m_axis_tvalid <= valid;
    end
  end

  wire [PE*OFFSET_W-1:0] offsets;
  bx_rom #(
      .W(PE * OFFSET_W), .WORDS(BEATS), .FILE(OFFSETS)
  ) rom (
      .clk(clk), .enable(enable), .address(beat), .data(offsets)
  );

  for (genvar p = 0; p < PE; p++) begin : g_pe
    wire [IN_W-1:0] code = s_axis_tdata[p*IN_W +: IN_W];
    wire [OUT_W-1:0] next;
    if (KIND == 0) begin : g_bipolar
      assign next = code[0] ? OUT_W'(FACTOR) : OUT_W'(-FACTOR);
    end else begin : g_number
      wire [OUT_W-1:0] value = KIND == 2 ? OUT_W'($signed(code)) : OUT_W'(code);
      (* use_dsp = "no" *) wire [OUT_W-1:0] product = value * OUT_W'(FACTOR);
      assign next = product;
    end
    logic [OUT_W-1:0] term;
    wire [OUT_W-1:0] offset = OUT_W'($signed(offsets[p*OFFSET_W +: OFFSET_W]));
    always_ff @(posedge clk) begin
      if (enable) begin
        term <= next;
        m_axis_tdata[p*OUT_W +: OUT_W] <= GAIN < 0 ? offset - term : offset + term;
      end
    end
  end
endmodule
`default_nettype wire
