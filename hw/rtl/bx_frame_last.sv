// Marks the last beat of every frame on an AXI4-Stream; adds no cycle and no register to the stream.
`default_nettype none
module bx_frame_last #(
    parameter int BEATS = 1  // beats in a frame
) (
    input  wire  clk,
    input  wire  rst_n,
    input  wire  tvalid,
    input  wire  tready,
    output logic tlast
);
  localparam int CW = $clog2(BEATS) > 0 ? $clog2(BEATS) : 1;

  if (BEATS < 1) begin : g_check
    $error("bx_frame_last: BEATS must be at least 1");
  end

  logic [CW-1:0] beat;
  assign tlast = beat == CW'(BEATS - 1);
  always_ff @(posedge clk) begin
    if (!rst_n) beat <= '0;
    else if (tvalid && tready) beat <= tlast ? '0 : beat + 1'b1;
  end
endmodule
`default_nettype wire
