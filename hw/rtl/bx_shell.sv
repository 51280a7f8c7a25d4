// What stands between an accelerator and a board: packets of bytes on both sides, registers, counters, a soft reset.
//
// Words of the DMA become beats (bx_unpack) and results become words (bx_pack), so that frames lie behind each other in
// memory with nothing between them. A packet is any number of whole frames; its results come back as one packet, too.
// From the DMA to the accelerator 2 cycles, back 2; no bubble in either. The registers' addresses are those of hw/shell.py.
//
// What goes wrong is kept in ERRORS until it is written there or a soft reset. Behind a packet that isn't made of whole
// frames the accelerator holds a part of one: results before it still leave, and what comes is dropped until the reset.
`default_nettype none
module bx_shell #(
    parameter int          IN_BYTES       = 8,   // of a word from the DMA
    parameter int          OUT_BYTES      = 8,   // of a word to it
    parameter int          CORE_IN_BYTES  = 1,   // of a beat that goes into the accelerator
    parameter int          CORE_OUT_BYTES = 1,   // of one that comes out
    parameter int          IN_BEATS       = 1,   // beats of a frame
    parameter int          OUT_BEATS      = 1,
    parameter int          LAYERS         = 0,   // with experts whose use is counted
    parameter int          EXPERTS        = 1,   // counters of each of them
    parameter int          PACKETS        = 32,  // that can be inside at once
    parameter int          CYCLES_W       = 48,  // bits of counters: of cycles, and of frames and choices
    parameter int          FRAMES_W       = 32,
    parameter bit  [127:0] HASH           = 128'd0,
    parameter bit  [ 31:0] BUILD          = 32'd0,
    parameter int          CHOICE_W       = $clog2(EXPERTS) > 0 ? $clog2(EXPERTS) : 1,
    parameter int          TOLD           = LAYERS > 0 ? LAYERS : 1
) (
    input  wire                        clk,
    input  wire                        rst_n,
    // from and to the DMA
    input  wire  [     8*IN_BYTES-1:0] s_axis_tdata,
    input  wire  [       IN_BYTES-1:0] s_axis_tkeep,
    input  wire                        s_axis_tlast,
    input  wire                        s_axis_tvalid,
    output logic                       s_axis_tready,
    output logic [    8*OUT_BYTES-1:0] m_axis_tdata,
    output logic [      OUT_BYTES-1:0] m_axis_tkeep,
    output logic                       m_axis_tlast,
    output logic                       m_axis_tvalid,
    input  wire                        m_axis_tready,
    // from the processor
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
    // to and from the accelerator
    output logic                       core_rst_n,
    output logic [8*CORE_IN_BYTES-1:0] core_in_tdata,
    output logic                       core_in_tvalid,
    input  wire                        core_in_tready,
    input  wire [8*CORE_OUT_BYTES-1:0] core_out_tdata,
    input  wire                        core_out_tvalid,
    output logic                       core_out_tready,
    input  wire   [TOLD*CHOICE_W-1:0]  expert_choice,
    input  wire            [TOLD-1:0]  expert_chosen
);
  localparam int NUMBER_W = 16;     // 2^NUMBER_W is more than the frames that can be inside
  localparam int BW = $clog2(OUT_BEATS) > 0 ? $clog2(OUT_BEATS) : 1;

  // --- control ----------------------------------------------------------------------------------------------
  logic running, clear, resetting;
  always_ff @(posedge clk) core_rst_n <= rst_n && !resetting;

  // --- in: a frame is begun while the shell runs, and always finished -----------------------------------------
  logic in_valid, in_first, in_last, in_end, fault_last, fault_keep;
  logic open, counted;
  wire packet_room;
  wire in_passes = (!in_first || open) && (!in_end || packet_room);
  wire in_taken = in_valid && in_passes && core_in_tready;
  assign core_in_tvalid = in_valid && in_passes;
  bx_unpack #(
      .IN_BYTES(IN_BYTES),
      .OUT_BYTES(CORE_IN_BYTES),
      .BEATS(IN_BEATS)
  ) unpack (
      .clk(clk),
      .rst_n(core_rst_n),
      .s_axis_tdata(s_axis_tdata),
      .s_axis_tkeep(s_axis_tkeep),
      .s_axis_tlast(s_axis_tlast),
      .s_axis_tvalid(s_axis_tvalid),
      .s_axis_tready(s_axis_tready),
      .m_axis_tdata(core_in_tdata),
      .m_axis_tvalid(in_valid),
      .m_axis_tready(core_in_tready && in_passes),
      .m_axis_first(in_first),
      .m_axis_last(in_last),
      .m_axis_end(in_end),
      .fault_last(fault_last),
      .fault_keep(fault_keep)
  );
  always_ff @(posedge clk) begin
    if (!core_rst_n) open <= 1'b0;
    else if (!(core_in_tvalid && in_first && !core_in_tready)) open <= running && counted;  // what is offered stays
  end

  // --- out: a frame's last beat leaves when the whole frame has come in, so that its packet's end is known --------
  logic [NUMBER_W-1:0] entered, left, packet_end;
  logic [BW-1:0] out_beat;
  logic packet_known, pack_ready;
  wire out_last = out_beat == BW'(OUT_BEATS - 1);
  wire out_passes = !out_last || entered != left;
  wire out_end = out_last && packet_known && packet_end == left;
  wire out_taken = core_out_tvalid && out_passes && pack_ready;
  assign core_out_tready = out_passes && pack_ready;
  always_ff @(posedge clk) begin
    if (!core_rst_n) begin
      entered <= '0;
      left <= '0;
      out_beat <= '0;
    end else begin
      if (in_taken && in_last) entered <= entered + 1'b1;
      if (out_taken && out_last) left <= left + 1'b1;
      if (out_taken) out_beat <= out_last ? '0 : out_beat + 1'b1;
    end
  end
  bx_fifo #(
      .W(NUMBER_W),
      .DEPTH(PACKETS)
  ) packets (
      .clk(clk),
      .rst_n(core_rst_n),
      .s_axis_tdata(entered),
      .s_axis_tvalid(in_taken && in_end),
      .s_axis_tready(packet_room),
      .m_axis_tdata(packet_end),
      .m_axis_tvalid(packet_known),
      .m_axis_tready(out_taken && out_end)
  );
  bx_pack #(
      .IN_BYTES (CORE_OUT_BYTES),
      .OUT_BYTES(OUT_BYTES)
  ) pack (
      .clk(clk),
      .rst_n(core_rst_n),
      .s_axis_tdata(core_out_tdata),
      .s_axis_tlast(out_end),
      .s_axis_tvalid(core_out_tvalid && out_passes),
      .s_axis_tready(pack_ready),
      .m_axis_tdata(m_axis_tdata),
      .m_axis_tkeep(m_axis_tkeep),
      .m_axis_tlast(m_axis_tlast),
      .m_axis_tvalid(m_axis_tvalid),
      .m_axis_tready(m_axis_tready)
  );

  // --- counters -----------------------------------------------------------------------------------------------
  logic busy, meter_overflow;
  logic [FRAMES_W-1:0] frames_in, frames_out;
  logic [FRAMES_W-1:0] interval, interval_min, interval_max, latency, latency_min, latency_max;
  logic [CYCLES_W-1:0] cycles, cycles_busy, cycles_starved, cycles_refused, cycles_blocked;
  bx_meter #(
      .FRAMES_W(FRAMES_W),
      .CYCLES_W(CYCLES_W),
      .NUMBER_W(NUMBER_W)
  ) meter (
      .clk(clk),
      .rst_n(core_rst_n),
      .clear(clear),
      .begins(in_taken && in_first),
      .enters(in_taken && in_last),
      .leaves(out_taken && out_last),
      .ends(out_end),
      .starved(core_in_tready && !in_valid),
      .refused(core_in_tvalid && !core_in_tready),
      .blocked(core_out_tvalid && !core_out_tready),
      .busy(busy),
      .frames_in(frames_in),
      .frames_out(frames_out),
      .cycles(cycles),
      .cycles_busy(cycles_busy),
      .cycles_starved(cycles_starved),
      .cycles_refused(cycles_refused),
      .cycles_blocked(cycles_blocked),
      .interval(interval),
      .interval_min(interval_min),
      .interval_max(interval_max),
      .latency(latency),
      .latency_min(latency_min),
      .latency_max(latency_max),
      .overflow(meter_overflow)
  );

  // The counter of expert e of layer k has word address 256 + 64 * k + e.
  logic [9:0] read_address;
  logic [TOLD-1:0] layer_counted, layer_overflow;
  logic [TOLD*FRAMES_W-1:0] layer_counts;
  assign counted = &layer_counted;
  wire unused_address = &{1'b0, read_address};  // all of it, where nothing is counted
  for (genvar k = 0; k < TOLD; k++) begin : g_layer
    if (LAYERS > 0) begin : g_meter
      bx_expert_meter #(
          .EXPERTS(EXPERTS),
          .W(FRAMES_W)
      ) uses (
          .clk(clk),
          .rst_n(core_rst_n && !clear),
          .choice(expert_choice[k*CHOICE_W+:CHOICE_W]),
          .chosen(expert_chosen[k]),
          .address(read_address[CHOICE_W-1:0]),
          .count(layer_counts[k*FRAMES_W+:FRAMES_W]),
          .ready(layer_counted[k]),
          .overflow(layer_overflow[k])
      );
    end else begin : g_none
      assign layer_counted[k] = 1'b1;
      assign layer_overflow[k] = 1'b0;
      assign layer_counts[k*FRAMES_W+:FRAMES_W] = '0;
      wire unused_choices = &{1'b0, expert_choice, expert_chosen};
    end
  end

  // --- registers ------------------------------------------------------------------------------------------------
  wire fault_overflow = meter_overflow || |layer_overflow;
  wire fault_output = core_out_tvalid && !busy && core_rst_n;  // the accelerator tells of a frame that it wasn't given
  bx_shell_registers #(
      .CYCLES_W(CYCLES_W),
      .FRAMES_W(FRAMES_W),
      .LAYERS  (TOLD),
      .EXPERTS (EXPERTS),
      .HASH    (HASH),
      .BUILD   (BUILD)
  ) registers (.*);
endmodule
`default_nettype wire
