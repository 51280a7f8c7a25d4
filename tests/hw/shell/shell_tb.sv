// bx_shell around toy_core, with the ports that cocotbext-axi looks for.
`default_nettype none
module shell_tb #(
    parameter int IN_BYTES       = 8,
    parameter int OUT_BYTES      = 8,
    parameter int CORE_IN_BYTES  = 1,
    parameter int CORE_OUT_BYTES = 1,
    parameter int IN_BEATS       = 4,
    parameter int OUT_BEATS      = 2,
    parameter int LAYERS         = 1,
    parameter int EXPERTS        = 4,
    parameter int PACKETS        = 4,
    parameter int FRAMES_W       = 32,
    parameter int CYCLES_W       = 48,
    parameter int EARLY          = 0,
    parameter int WEDGED         = 0
) (
    input  wire                    clk,
    input  wire                    rst_n,
    input  wire                    dma_rst_n,  // of the models of the DMA alone
    input  wire  [ 8*IN_BYTES-1:0] s_axis_tdata,
    input  wire  [   IN_BYTES-1:0] s_axis_tkeep,
    input  wire                    s_axis_tlast,
    input  wire                    s_axis_tvalid,
    output wire                    s_axis_tready,
    output wire  [8*OUT_BYTES-1:0] m_axis_tdata,
    output wire  [  OUT_BYTES-1:0] m_axis_tkeep,
    output wire                    m_axis_tlast,
    output wire                    m_axis_tvalid,
    input  wire                    m_axis_tready,
    input  wire  [           11:0] s_axi_awaddr,
    input  wire  [            2:0] s_axi_awprot,
    input  wire                    s_axi_awvalid,
    output wire                    s_axi_awready,
    input  wire  [           31:0] s_axi_wdata,
    input  wire  [            3:0] s_axi_wstrb,
    input  wire                    s_axi_wvalid,
    output wire                    s_axi_wready,
    output wire  [            1:0] s_axi_bresp,
    output wire                    s_axi_bvalid,
    input  wire                    s_axi_bready,
    input  wire  [           11:0] s_axi_araddr,
    input  wire  [            2:0] s_axi_arprot,
    input  wire                    s_axi_arvalid,
    output wire                    s_axi_arready,
    output wire  [           31:0] s_axi_rdata,
    output wire  [            1:0] s_axi_rresp,
    output wire                    s_axi_rvalid,
    input  wire                    s_axi_rready
);
  wire unused = &{1'b0, dma_rst_n, s_axi_awprot, s_axi_arprot};
  localparam int TOLD = LAYERS > 0 ? LAYERS : 1;
  localparam int CHOICE_W = $clog2(EXPERTS) > 0 ? $clog2(EXPERTS) : 1;
  wire core_rst_n, core_in_tvalid, core_in_tready, core_out_tvalid, core_out_tready;
  wire [8*CORE_IN_BYTES-1:0] core_in_tdata;
  wire [8*CORE_OUT_BYTES-1:0] core_out_tdata;
  wire [TOLD*CHOICE_W-1:0] expert_choice;
  wire [TOLD-1:0] expert_chosen;
  bx_shell #(
      .IN_BYTES(IN_BYTES), .OUT_BYTES(OUT_BYTES), .CORE_IN_BYTES(CORE_IN_BYTES), .CORE_OUT_BYTES(CORE_OUT_BYTES),
      .IN_BEATS(IN_BEATS), .OUT_BEATS(OUT_BEATS), .LAYERS(LAYERS), .EXPERTS(EXPERTS), .PACKETS(PACKETS),
      .FRAMES_W(FRAMES_W), .CYCLES_W(CYCLES_W), .HASH(128'h00112233_44556677_8899aabb_ccddeeff), .BUILD(32'h0000_0104)
  ) dut (.*);
  toy_core #(
      .IN_BYTES(CORE_IN_BYTES), .OUT_BYTES(CORE_OUT_BYTES), .IN_BEATS(IN_BEATS), .OUT_BEATS(OUT_BEATS),
      .LAYERS(TOLD), .EXPERTS(EXPERTS), .EARLY(EARLY), .WEDGED(WEDGED)
  ) core (
      .clk, .rst_n(core_rst_n),
      .s_axis_tdata(core_in_tdata), .s_axis_tvalid(core_in_tvalid), .s_axis_tready(core_in_tready),
      .m_axis_tdata(core_out_tdata), .m_axis_tvalid(core_out_tvalid), .m_axis_tready(core_out_tready),
      .expert_choice, .expert_chosen
  );
endmodule
`default_nettype wire
