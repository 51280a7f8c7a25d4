// Some of the channels of a stream: of the BEATS beats of every pixel those from START on, up to before STOP.
//
// One register stage, frozen while an offered beat is not taken. A beat is taken in every cycle and, if it is one of
// those wanted, offered in the next.
`default_nettype none
module bx_slice #(
    parameter int W     = 8,  // bits of a beat
    parameter int BEATS = 4,  // beats of a pixel
    parameter int START = 1,  // first beat wanted
    parameter int STOP  = 3   // first beat behind those wanted
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
  localparam int BW = $clog2(BEATS) > 0 ? $clog2(BEATS) : 1;

  if (W < 1 || START < 0 || START >= STOP || STOP > BEATS) begin : g_check
    $error("bx_slice: START must lie before STOP, and both in 0..BEATS");
  end

  logic [BW-1:0] beat;  // of the pixel
  logic wanted;          // this beat
  wire [BW-1:0] next = beat == BW'(BEATS - 1) ? '0 : beat + 1'b1;
  wire enable = !m_axis_tvalid || m_axis_tready;
  wire take = enable && s_axis_tvalid;
  assign s_axis_tready = enable;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      beat <= '0;
      wanted <= START == 0;
      m_axis_tvalid <= 1'b0;
    end else if (enable) begin
      m_axis_tvalid <= take && wanted;
      if (take) begin
        beat <= next;
        if (next == BW'(START)) wanted <= 1'b1;
        else if (next == BW'(STOP % BEATS)) wanted <= 1'b0;
      end
    end
  end
  always_ff @(posedge clk) if (enable) m_axis_tdata <= s_axis_tdata;
endmodule
`default_nettype wire
