// The shell's registers on AXI4-Lite, at the addresses of hw/shell.py.
//
// A register that doesn't exist reads as 0, and writing to it does nothing. The low half of a counter of cycles is read
// first: that keeps the upper half of the same moment for the next read. CONTROL's bits 1 and 2 are pulses. A soft reset
// stops, takes RESET_CYCLES, and clears counters and errors.
`default_nettype none
module bx_shell_registers #(
    parameter int          CYCLES_W     = 48,
    parameter int          FRAMES_W     = 32,
    parameter int          LAYERS       = 1,
    parameter int          EXPERTS      = 1,
    parameter int          RESET_CYCLES = 16,
    parameter bit  [127:0] HASH         = 128'd0,
    parameter bit  [ 31:0] BUILD        = 32'd0
) (
    input  wire                        clk,
    input  wire                        rst_n,
    input  wire  [               11:0] s_axi_awaddr,
    input  wire                        s_axi_awvalid,
    output logic                       s_axi_awready,
    input  wire  [               31:0] s_axi_wdata,
    input  wire  [                3:0] s_axi_wstrb,
    input  wire                        s_axi_wvalid,
    output logic                       s_axi_wready,
    output logic [                1:0] s_axi_bresp,
    output logic                       s_axi_bvalid,
    input  wire                        s_axi_bready,
    input  wire  [               11:0] s_axi_araddr,
    input  wire                        s_axi_arvalid,
    output logic                       s_axi_arready,
    output logic [               31:0] s_axi_rdata,
    output logic [                1:0] s_axi_rresp,
    output logic                       s_axi_rvalid,
    input  wire                        s_axi_rready,
    // control
    output logic                       running,
    output logic                       resetting,
    output logic                       clear,
    // status
    input  wire                        busy,
    input  wire                        fault_last,
    input  wire                        fault_keep,
    input  wire                        fault_overflow,
    input  wire                        fault_output,
    // counters
    input  wire  [       FRAMES_W-1:0] frames_in,
    input  wire  [       FRAMES_W-1:0] frames_out,
    input  wire  [       FRAMES_W-1:0] interval,
    input  wire  [       FRAMES_W-1:0] interval_min,
    input  wire  [       FRAMES_W-1:0] interval_max,
    input  wire  [       FRAMES_W-1:0] latency,
    input  wire  [       FRAMES_W-1:0] latency_min,
    input  wire  [       FRAMES_W-1:0] latency_max,
    input  wire  [       CYCLES_W-1:0] cycles,
    input  wire  [       CYCLES_W-1:0] cycles_busy,
    input  wire  [       CYCLES_W-1:0] cycles_starved,
    input  wire  [       CYCLES_W-1:0] cycles_refused,
    input  wire  [       CYCLES_W-1:0] cycles_blocked,
    output logic [                9:0] read_address,
    input  wire  [LAYERS*FRAMES_W-1:0] layer_counts  // of the experts with the lowest bits of `read_address`
);
  localparam int RW = $clog2(RESET_CYCLES + 1);

  if (FRAMES_W > 32 || CYCLES_W > 64 || LAYERS > 12 || EXPERTS > 64) begin : g_check
    $error("bx_shell_registers: FRAMES_W, CYCLES_W, LAYERS and EXPERTS are at most 32, 64, 12 and 64");
  end

  logic writes, reads;
  logic [9:0] write_address;
  logic [31:0] write_data, read_data;
  logic [3:0] write_strobe;
  bx_axilite #(.AW(12)) bus (.*);
  wire unused_bits = &{1'b0, write_data[31:4], write_strobe[3:1]};

  // --- control and errors -----------------------------------------------------------------------------------
  logic [RW-1:0] reset_left;
  logic [3:0] errors;
  wire controls = writes && write_address == 10'd8 && write_strobe[0];
  wire forgets = writes && write_address == 10'd10 && write_strobe[0];
  assign resetting = reset_left != '0;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      running <= 1'b0;
      clear <= 1'b0;
      reset_left <= RW'(RESET_CYCLES);
    end else begin
      clear <= controls && write_data[2];
      if (controls) running <= write_data[0] && !write_data[1];
      if (controls && write_data[1]) reset_left <= RW'(RESET_CYCLES);
      else if (resetting) reset_left <= reset_left - 1'b1;
    end
  end
  always_ff @(posedge clk) begin
    if (!rst_n || resetting) errors <= '0;
    else begin
      errors <= (forgets ? errors & ~write_data[3:0] : errors)
          | {fault_output, fault_overflow, fault_keep, fault_last};
    end
  end

  // --- reading: three groups, then one of them ------------------------------------------------------------------
  logic [31:0] fixed, counter, upper, choice;
  logic [63:0] wide;
  // word 32 + 2 * n is the low half of counter n
  always_comb begin
    case (read_address[3:1])
      3'd0: wide = 64'(cycles);
      3'd1: wide = 64'(cycles_busy);
      3'd2: wide = 64'(cycles_starved);
      3'd3: wide = 64'(cycles_refused);
      default: wide = 64'(cycles_blocked);
    endcase
  end
  wire is_wide = read_address[9:4] == 6'd2 && read_address[3:1] < 3'd5;
  wire is_choice = read_address[9:8] != 2'd0;

  always_ff @(posedge clk) begin
    if (reads) begin
      case (read_address)
        10'd0: fixed <= 32'h42455850;  // "BEXP"
        10'd1: fixed <= 32'd1;
        10'd2: fixed <= HASH[31:0];
        10'd3: fixed <= HASH[63:32];
        10'd4: fixed <= HASH[95:64];
        10'd5: fixed <= HASH[127:96];
        10'd6: fixed <= BUILD;
        10'd8: fixed <= {31'd0, running};
        10'd9: fixed <= {30'd0, resetting, busy};
        10'd10: fixed <= {28'd0, errors};
        10'd16: fixed <= 32'(frames_in);
        10'd17: fixed <= 32'(frames_out);
        10'd18: fixed <= 32'(interval);
        10'd19: fixed <= 32'(interval_min);
        10'd20: fixed <= 32'(interval_max);
        10'd21: fixed <= 32'(latency);
        10'd22: fixed <= 32'(latency_min);
        10'd23: fixed <= 32'(latency_max);
        default: fixed <= '0;
      endcase
      counter <= read_address[0] ? upper : wide[31:0];
      if (is_wide && !read_address[0]) upper <= wide[63:32];
    end
  end

  // the counts of the layer, in the cycle after `reads`
  wire [3:0] layer = read_address[9:6] - 4'd4;
  always_comb begin
    choice = '0;
    for (int k = 0; k < LAYERS; k++) begin
      if (layer == 4'(k) && 7'(read_address[5:0]) < 7'(EXPERTS)) choice = 32'(layer_counts[k*FRAMES_W+:FRAMES_W]);
    end
  end
  always_ff @(posedge clk) read_data <= is_choice ? choice : is_wide ? counter : fixed;
endmodule
`default_nettype wire
