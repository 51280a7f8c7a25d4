// bx_axilite: each write is made once, with the address and the data that belong together; each read is answered once,
// with what was there two cycles after it was asked for; and neither hangs.
`default_nettype none
module fv_axilite #(
    parameter int AW = 4
) (
    input wire          clk,
    input wire          rst_n,
    input wire [AW-1:0] s_axi_awaddr,
    input wire          s_axi_awvalid,
    input wire [  31:0] s_axi_wdata,
    input wire [   3:0] s_axi_wstrb,
    input wire          s_axi_wvalid,
    input wire          s_axi_bready,
    input wire [AW-1:0] s_axi_araddr,
    input wire          s_axi_arvalid,
    input wire          s_axi_rready,
    input wire [  31:0] read_data
);
  wire s_axi_awready, s_axi_wready, s_axi_bvalid, s_axi_arready, s_axi_rvalid, writes, reads;
  wire [1:0] s_axi_bresp, s_axi_rresp;
  wire [31:0] s_axi_rdata, write_data;
  wire [AW-3:0] write_address, read_address;
  wire [3:0] write_strobe;
  bx_axilite #(.AW(AW)) dut (.*);
  fv_run run (.*);

  // -- the rule of all five channels: what is offered stays
  wire [4:0] unused_beats;
  wire [9:0] unused_frames;
  fv_stream #(.W(AW), .ASSUMED(1), .STREAK(0), .WAITS(0)) aw (
      .clk, .rst_n, .tdata(s_axi_awaddr), .tvalid(s_axi_awvalid), .tready(s_axi_awready), .beat(unused_beats[0]),
      .frame(unused_frames[1:0])
  );
  fv_stream #(.W(36), .ASSUMED(1), .STREAK(0), .WAITS(0)) w (
      .clk, .rst_n, .tdata({s_axi_wdata, s_axi_wstrb}), .tvalid(s_axi_wvalid), .tready(s_axi_wready),
      .beat(unused_beats[1]), .frame(unused_frames[3:2])
  );
  fv_stream #(.W(2), .STREAK(0)) b (
      .clk, .rst_n, .tdata(s_axi_bresp), .tvalid(s_axi_bvalid), .tready(s_axi_bready), .beat(unused_beats[2]),
      .frame(unused_frames[5:4])
  );
  fv_stream #(.W(AW), .ASSUMED(1), .STREAK(0), .WAITS(0)) ar (
      .clk, .rst_n, .tdata(s_axi_araddr), .tvalid(s_axi_arvalid), .tready(s_axi_arready), .beat(unused_beats[3]),
      .frame(unused_frames[7:6])
  );
  fv_stream #(.W(34), .STREAK(0)) r (
      .clk, .rst_n, .tdata({s_axi_rdata, s_axi_rresp}), .tvalid(s_axi_rvalid), .tready(s_axi_rready),
      .beat(unused_beats[4]), .frame(unused_frames[9:8])
  );
  always_comb if (rst_n && s_axi_bvalid) assert (s_axi_bresp == 2'b00);
  always_comb if (rst_n && s_axi_rvalid) assert (s_axi_rresp == 2'b00);

  // -- writes: one address and one data are held until both are there, then one write, then one response
  logic address_held, data_held, response_due;
  logic [AW-1:0] address;
  logic [35:0] data;
  wire takes_address = s_axi_awvalid && s_axi_awready;
  wire takes_data = s_axi_wvalid && s_axi_wready;
  always_ff @(posedge clk) begin
    if (takes_address) address <= s_axi_awaddr;
    if (takes_data) data <= {s_axi_wdata, s_axi_wstrb};
    if (!rst_n) {address_held, data_held, response_due} <= '0;
    else begin
      if (takes_address) address_held <= 1'b1;
      else if (writes) address_held <= 1'b0;
      if (takes_data) data_held <= 1'b1;
      else if (writes) data_held <= 1'b0;
      if (writes) response_due <= 1'b1;
      else if (s_axi_bvalid && s_axi_bready) response_due <= 1'b0;
    end
  end
  always_comb if (rst_n && writes) assert (address_held && data_held && !response_due);
  always_comb if (rst_n && writes) assert (write_address == address[AW-1:2] && {write_data, write_strobe} == data);
  always_comb if (rst_n && takes_address) assert (!address_held || writes);
  always_comb if (rst_n && takes_data) assert (!data_held || writes);
  always_comb if (rst_n) assert (s_axi_bvalid == response_due);

  // -- reads: asked for once, and answered with what is there two cycles later
  logic [2:0] asked;  // in each of the last cycles
  logic read_due;
  logic [AW-1:0] wanted;
  logic [31:0] there;
  always_ff @(posedge clk) begin
    if (s_axi_arvalid && s_axi_arready) wanted <= s_axi_araddr;
    there <= read_data;
    asked <= rst_n ? {asked[1:0], reads} : '0;
    if (!rst_n) read_due <= 1'b0;
    else if (s_axi_arvalid && s_axi_arready) read_due <= 1'b1;
    else if (s_axi_rvalid && s_axi_rready) read_due <= 1'b0;
  end
  always_comb if (rst_n && s_axi_arvalid && s_axi_arready) assert (!read_due);
  always_comb if (rst_n && reads) assert (read_due && read_address == wanted[AW-1:2]);
  always_comb if (rst_n && asked[2]) assert (s_axi_rvalid && s_axi_rdata == there);
  always_comb if (rst_n && s_axi_rvalid) assert (read_due && asked[1:0] == '0 && !reads);
  always_comb cover (rst_n && s_axi_rvalid && s_axi_rready);
  always_comb cover (rst_n && s_axi_bvalid && s_axi_bready);

  // -- neither waits for ever
  fv_settles #(.LIMIT(6)) settles (
      .clk, .rst_n, .moves(takes_address || takes_data || writes || (s_axi_arvalid && s_axi_arready)),
      .free(s_axi_bready && s_axi_rready),
      .at_rest(!response_due && !read_due && s_axi_arready && !(address_held && data_held)
          && s_axi_awready == !address_held && s_axi_wready == !data_held)
  );
endmodule
`default_nettype wire
