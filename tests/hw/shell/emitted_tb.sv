// An emitted accelerator in its shell, with the ports of shell_tb and words of 8 bytes.
`default_nettype none
module emitted_tb (
    input  wire                    clk,
    input  wire                    rst_n,
    input  wire                    dma_rst_n,  // of the models of the DMA alone
    input  wire  [           63:0] s_axis_tdata,
    input  wire  [            7:0] s_axis_tkeep,
    input  wire                    s_axis_tlast,
    input  wire                    s_axis_tvalid,
    output wire                    s_axis_tready,
    output wire  [           63:0] m_axis_tdata,
    output wire  [            7:0] m_axis_tkeep,
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
  wire unused = &{1'b0, dma_rst_n};
  accelerator_shell dut (
      .ap_clk(clk), .ap_rst_n(rst_n),
      .s_axis_tdata, .s_axis_tkeep, .s_axis_tlast, .s_axis_tvalid, .s_axis_tready,
      .m_axis_tdata, .m_axis_tkeep, .m_axis_tlast, .m_axis_tvalid, .m_axis_tready,
      .s_axi_control_awaddr(s_axi_awaddr),
      .s_axi_control_awprot(s_axi_awprot),
      .s_axi_control_awvalid(s_axi_awvalid),
      .s_axi_control_awready(s_axi_awready),
      .s_axi_control_wdata(s_axi_wdata),
      .s_axi_control_wstrb(s_axi_wstrb),
      .s_axi_control_wvalid(s_axi_wvalid),
      .s_axi_control_wready(s_axi_wready),
      .s_axi_control_bresp(s_axi_bresp),
      .s_axi_control_bvalid(s_axi_bvalid),
      .s_axi_control_bready(s_axi_bready),
      .s_axi_control_araddr(s_axi_araddr),
      .s_axi_control_arprot(s_axi_arprot),
      .s_axi_control_arvalid(s_axi_arvalid),
      .s_axi_control_arready(s_axi_arready),
      .s_axi_control_rdata(s_axi_rdata),
      .s_axi_control_rresp(s_axi_rresp),
      .s_axi_control_rvalid(s_axi_rvalid),
      .s_axi_control_rready(s_axi_rready)
  );
endmodule
`default_nettype wire
