// First-in first-out buffer of DEPTH beats: DEPTH-1 words of memory and an output register.
//
// A beat taken in cycle t is offered from t+1 on; room made in cycle t is offered from t+1 on. Full rate:
// one beat in and one out in every cycle. No combinational path from either side to the other.
`default_nettype none
module bx_fifo #(
    parameter int W     = 8,  // bits of a beat
    parameter int DEPTH = 2   // beats of room, at least 2
) (
    input  wire          clk,
    input  wire          rst_n,
    input  wire  [W-1:0] s_axis_tdata,
    input  wire          s_axis_tvalid,
    output logic         s_axis_tready,
    output logic [W-1:0] m_axis_tdata,
    output logic         m_axis_tvalid,
    input  wire          m_axis_tready
);
  localparam int WORDS = DEPTH - 1;
  localparam int AW = $clog2(WORDS) > 0 ? $clog2(WORDS) : 1;
  localparam int CW = $clog2(DEPTH + 1);

  if (DEPTH < 2) begin : g_check
    $error("bx_fifo: DEPTH must be at least 2");
  end

  logic [W-1:0] memory[0:WORDS-1];
  logic [AW-1:0] write_at, read_at;
  logic [CW-1:0] stored;  // beats in the memory, the output register not counted

  wire put = s_axis_tvalid && s_axis_tready;
  wire load = !m_axis_tvalid || m_axis_tready;  // the output register can take a beat
  wire empty = stored == '0;
  wire get = load && !empty;
  wire bypass = load && empty && put;
  wire store = put && !bypass;

  // The memory's own read register and the bypass register are kept apart so that block RAM can be used.
  logic [W-1:0] from_memory, from_input;
  logic bypassed;
  assign m_axis_tdata = bypassed ? from_input : from_memory;

  always_ff @(posedge clk) if (store) memory[write_at] <= s_axis_tdata;
  always_ff @(posedge clk) if (get) from_memory <= memory[read_at];
  always_ff @(posedge clk) if (bypass) from_input <= s_axis_tdata;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      write_at <= '0;
      read_at <= '0;
      stored <= '0;
      m_axis_tvalid <= 1'b0;
      s_axis_tready <= 1'b0;
      bypassed <= 1'b0;
    end else begin
      if (store) write_at <= write_at == AW'(WORDS - 1) ? '0 : write_at + 1'b1;
      if (get) read_at <= read_at == AW'(WORDS - 1) ? '0 : read_at + 1'b1;
      stored <= stored + CW'(store) - CW'(get);
      if (load) begin
        m_axis_tvalid <= get || bypass;
        bypassed <= bypass;
      end
      // ready while the beats held after this edge leave room for one more
      s_axis_tready <= stored + CW'(store) - CW'(get) + CW'(load ? (get || bypass) : 1'b1) < CW'(DEPTH);
    end
  end
endmodule
`default_nettype wire
