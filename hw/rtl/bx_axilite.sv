// An AXI4-Lite slave that turns transfers into single reads and writes of 32-bit registers.
//
// One write and one read at a time, each with a response of OKAY whatever the address. Address and data of a write may
// come in any order. A read is asked for by `reads` and `read_address`, and answered by `read_data` in the next cycle
// but one, so that what it selects from can be registered once. No output depends on an input of its own cycle.
`default_nettype none
module bx_axilite #(
    parameter int AW = 12  // bits of an address, in bytes
) (
    input  wire           clk,
    input  wire           rst_n,
    input  wire  [AW-1:0] s_axi_awaddr,
    input  wire           s_axi_awvalid,
    output logic          s_axi_awready,
    input  wire  [  31:0] s_axi_wdata,
    input  wire  [   3:0] s_axi_wstrb,
    input  wire           s_axi_wvalid,
    output logic          s_axi_wready,
    output logic [   1:0] s_axi_bresp,
    output logic          s_axi_bvalid,
    input  wire           s_axi_bready,
    input  wire  [AW-1:0] s_axi_araddr,
    input  wire           s_axi_arvalid,
    output logic          s_axi_arready,
    output logic [  31:0] s_axi_rdata,
    output logic [   1:0] s_axi_rresp,
    output logic          s_axi_rvalid,
    input  wire           s_axi_rready,
    output logic          writes,
    output logic [AW-3:0] write_address,  // of a word
    output logic [  31:0] write_data,
    output logic [   3:0] write_strobe,
    output logic          reads,
    output logic [AW-3:0] read_address,   // of a word; stays until the next read
    input  wire  [  31:0] read_data
);
  assign s_axi_bresp = 2'b00;
  assign s_axi_rresp = 2'b00;

  // --- writes ---------------------------------------------------------------------------------------------
  logic has_address, has_data;
  assign s_axi_awready = !has_address;
  assign s_axi_wready = !has_data;
  assign writes = has_address && has_data && !s_axi_bvalid;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      has_address <= 1'b0;
      has_data <= 1'b0;
      s_axi_bvalid <= 1'b0;
    end else begin
      if (s_axi_awvalid && s_axi_awready) has_address <= 1'b1;
      if (s_axi_wvalid && s_axi_wready) has_data <= 1'b1;
      if (s_axi_bready) s_axi_bvalid <= 1'b0;
      if (writes) begin
        has_address <= 1'b0;
        has_data <= 1'b0;
        s_axi_bvalid <= 1'b1;
      end
    end
  end
  always_ff @(posedge clk) if (s_axi_awvalid && s_axi_awready) write_address <= s_axi_awaddr[AW-1:2];
  always_ff @(posedge clk) if (s_axi_wvalid && s_axi_wready) {write_data, write_strobe} <= {s_axi_wdata, s_axi_wstrb};

  // --- reads: asked for, selected, answered --------------------------------------------------------------
  logic selecting, answering;
  assign s_axi_arready = !reads && !selecting && !answering && !s_axi_rvalid;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      reads <= 1'b0;
      selecting <= 1'b0;
      answering <= 1'b0;
      s_axi_rvalid <= 1'b0;
    end else begin
      reads <= s_axi_arvalid && s_axi_arready;
      selecting <= reads;
      answering <= selecting;
      if (s_axi_rready) s_axi_rvalid <= 1'b0;
      if (answering) s_axi_rvalid <= 1'b1;
    end
  end
  always_ff @(posedge clk) if (s_axi_arvalid && s_axi_arready) read_address <= s_axi_araddr[AW-1:2];
  always_ff @(posedge clk) if (answering) s_axi_rdata <= read_data;

  wire unused_low_bits = &{1'b0, s_axi_awaddr[1:0], s_axi_araddr[1:0]};
endmodule
`default_nettype wire
