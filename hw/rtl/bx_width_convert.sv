// Regroups a stream into wider or narrower beats; the first part is the low bits.
//
// One register stage, frozen while an offered beat is not taken. Widening takes a beat a cycle and
// offers one every OUT_W/IN_W cycles; narrowing takes one every IN_W/OUT_W cycles and offers one a cycle.
`default_nettype none
module bx_width_convert #(
    parameter int IN_W  = 8,   // bits of an input beat
    parameter int OUT_W = 32   // bits of an output beat; one width divides the other
) (
    input  wire              clk,
    input  wire              rst_n,
    input  wire  [IN_W-1:0]  s_axis_tdata,
    input  wire              s_axis_tvalid,
    output logic             s_axis_tready,
    output logic [OUT_W-1:0] m_axis_tdata,
    output logic             m_axis_tvalid,
    input  wire              m_axis_tready
);
  localparam bit WIDEN = OUT_W > IN_W;
  localparam int RATIO = WIDEN ? OUT_W / IN_W : IN_W / OUT_W;
  localparam int CW = $clog2(RATIO) > 0 ? $clog2(RATIO) : 1;

  if (RATIO < 2 || (WIDEN ? RATIO * IN_W != OUT_W : RATIO * OUT_W != IN_W)) begin : g_check
    $error("bx_width_convert: one of IN_W and OUT_W must be a multiple of the other");
  end

  logic [CW-1:0] part;
  wire last = part == CW'(RATIO - 1);
  wire enable = !m_axis_tvalid || m_axis_tready;

  if (WIDEN) begin : g_widen
    wire take = enable && s_axis_tvalid;
    assign s_axis_tready = enable;
    always_ff @(posedge clk) begin
      if (!rst_n) begin
        part <= '0;
        m_axis_tvalid <= 1'b0;
      end else if (enable) begin
        m_axis_tvalid <= take && last;
        if (take) part <= last ? '0 : part + 1'b1;
      end
    end
    for (genvar p = 0; p < RATIO; p++) begin : g_part
      always_ff @(posedge clk) if (take && part == CW'(p)) m_axis_tdata[p*IN_W +: IN_W] <= s_axis_tdata;
    end
  end else begin : g_narrow
    logic [IN_W-1:0] word;
    wire first = part == '0;
    wire fire = enable && (!first || s_axis_tvalid);
    assign s_axis_tready = enable && first;
    assign m_axis_tdata = word[OUT_W-1:0];
    always_ff @(posedge clk) begin
      if (!rst_n) begin
        part <= '0;
        m_axis_tvalid <= 1'b0;
      end else if (enable) begin
        m_axis_tvalid <= fire;
        if (fire) part <= last ? '0 : part + 1'b1;
      end
    end
    always_ff @(posedge clk) if (fire) word <= first ? s_axis_tdata : word >> OUT_W;
  end
endmodule
`default_nettype wire
