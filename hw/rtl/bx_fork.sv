// Copies a stream: every copy gets each beat once, as soon as it has room for it.
//
// No register on the data and no latency. A copy that has the beat remembers it (done) and waits for the
// others; the input beat is taken in the cycle in which the last copy takes it. Copy i is slice i of the
// m_axis vectors, copy 0 in the low bits.
`default_nettype none
module bx_fork #(
    parameter int W      = 8,  // bits of a beat
    parameter int COPIES = 2   // at least 2
) (
    input  wire                 clk,
    input  wire                 rst_n,
    input  wire  [W-1:0]        s_axis_tdata,
    input  wire                 s_axis_tvalid,
    output logic                s_axis_tready,
    output logic [COPIES*W-1:0] m_axis_tdata,
    output logic [COPIES-1:0]   m_axis_tvalid,
    input  wire  [COPIES-1:0]   m_axis_tready
);
  if (COPIES < 2) begin : g_check
    $error("bx_fork: COPIES must be at least 2");
  end

  logic [COPIES-1:0] done;  // copies that already have the beat at the input

  assign m_axis_tdata  = {COPIES{s_axis_tdata}};
  assign m_axis_tvalid = {COPIES{s_axis_tvalid}} & ~done;
  assign s_axis_tready = &(done | m_axis_tready);

  always_ff @(posedge clk) begin
    if (!rst_n) done <= '0;
    else if (s_axis_tvalid) done <= s_axis_tready ? '0 : done | m_axis_tready;
  end
endmodule
`default_nettype wire
