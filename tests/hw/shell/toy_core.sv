// A small accelerator behind the shell: beat j of a frame's result is the sum of the frame's beats, plus j.
//
// With EARLY it is the frame's first beat plus j, and the result leaves before the rest of the frame has come in.
// Expert layer k chooses expert (first beat + k) mod EXPERTS. With WEDGED = 1 it takes beats and never answers, with
// WEDGED = 2 it answers without being asked.
`default_nettype none
module toy_core #(
    parameter int IN_BYTES  = 1,
    parameter int OUT_BYTES = 1,
    parameter int IN_BEATS  = 4,
    parameter int OUT_BEATS = 2,
    parameter int LAYERS    = 1,
    parameter int EXPERTS   = 4,
    parameter int CHOICE_W  = $clog2(EXPERTS) > 0 ? $clog2(EXPERTS) : 1,
    parameter int EARLY     = 0,
    parameter int WEDGED    = 0
) (
    input  wire                          clk,
    input  wire                          rst_n,
    input  wire  [       8*IN_BYTES-1:0] s_axis_tdata,
    input  wire                          s_axis_tvalid,
    output logic                         s_axis_tready,
    output logic [      8*OUT_BYTES-1:0] m_axis_tdata,
    output logic                         m_axis_tvalid,
    input  wire                          m_axis_tready,
    output logic [ LAYERS*CHOICE_W-1:0]  expert_choice,
    output logic [          LAYERS-1:0]  expert_chosen
);
  localparam int SW = 32;
  localparam int BW = $clog2(IN_BEATS) > 0 ? $clog2(IN_BEATS) : 1;
  localparam int OW = $clog2(OUT_BEATS) > 0 ? $clog2(OUT_BEATS) : 1;

  logic [SW-1:0] sum;
  logic [BW-1:0] beat;
  wire first = beat == '0;
  wire last = beat == BW'(IN_BEATS - 1);
  wire fire = s_axis_tvalid && s_axis_tready;
  wire [SW-1:0] now = SW'(s_axis_tdata) + (first ? '0 : sum);
  wire tells = EARLY != 0 ? first : last;
  wire room;
  assign s_axis_tready = !tells || room;
  always_ff @(posedge clk) begin
    if (!rst_n) beat <= '0;
    else if (fire) beat <= last ? '0 : beat + 1'b1;
    if (fire) sum <= now;
  end

  for (genvar k = 0; k < LAYERS; k++) begin : g_layer
    assign expert_choice[k*CHOICE_W+:CHOICE_W] = CHOICE_W'((s_axis_tdata[7:0] + 8'(k)) % 8'(EXPERTS));
    assign expert_chosen[k] = fire && first;
  end

  wire [SW-1:0] base;
  wire known;
  logic [OW-1:0] out_beat;
  wire out_last = out_beat == OW'(OUT_BEATS - 1);
  bx_fifo #(.W(SW), .DEPTH(4)) results (
      .clk, .rst_n, .s_axis_tdata(now), .s_axis_tvalid(fire && tells), .s_axis_tready(room),
      .m_axis_tdata(base), .m_axis_tvalid(known), .m_axis_tready(m_axis_tvalid && m_axis_tready && out_last)
  );
  assign m_axis_tvalid = WEDGED == 2 || (known && WEDGED == 0);
  assign m_axis_tdata = (8 * OUT_BYTES)'(base + SW'(out_beat));
  always_ff @(posedge clk) begin
    if (!rst_n) out_beat <= '0;
    else if (m_axis_tvalid && m_axis_tready) out_beat <= out_last ? '0 : out_beat + 1'b1;
  end
endmodule
`default_nettype wire
