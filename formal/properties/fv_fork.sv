// bx_fork: every copy is offered each beat until it has it, and no longer; the beat goes when the last copy takes it.
`default_nettype none
module fv_fork #(
    parameter int W      = 2,
    parameter int COPIES = 3
) (
    input wire              clk,
    input wire              rst_n,
    input wire [     W-1:0] s_axis_tdata,
    input wire              s_axis_tvalid,
    input wire [COPIES-1:0] m_axis_tready
);
  wire s_axis_tready;
  wire [COPIES-1:0] m_axis_tvalid;
  wire [COPIES*W-1:0] m_axis_tdata;
  bx_fork #(.W(W), .COPIES(COPIES)) dut (.*);

  fv_run run (.*);
  wire [1:0] taken;  // beats so far
  fv_stream #(.W(W), .ASSUMED(1)) source (
      .clk, .rst_n, .tdata(s_axis_tdata), .tvalid(s_axis_tvalid), .tready(s_axis_tready), .beat(), .frame(taken)
  );

  wire [COPIES-1:0] content;  // copies that have the beat or take it now
  for (genvar c = 0; c < COPIES; c++) begin : g_copy
    wire [1:0] got;
    fv_stream #(.W(W)) sink (
        .clk, .rst_n, .tdata(m_axis_tdata[c*W +: W]), .tvalid(m_axis_tvalid[c]), .tready(m_axis_tready[c]),
        .beat(), .frame(got)
    );
    wire has = got != taken;
    assign content[c] = has || m_axis_tready[c];
    always_comb if (rst_n) assert (!has || got == taken + 2'd1);
    always_comb if (rst_n) assert (m_axis_tvalid[c] == (s_axis_tvalid && !has));
    always_comb if (rst_n && m_axis_tvalid[c]) assert (m_axis_tdata[c*W +: W] == s_axis_tdata);
  end
  always_comb if (rst_n) assert (s_axis_tready == &content);

  // one copy ahead of all others for several cycles
  logic [1:0] alone;
  always_ff @(posedge clk) alone <= !rst_n || g_copy[0].got == taken || g_copy[1].got != taken ? '0 : alone + 1'b1;
  always_comb cover (rst_n && alone == 2'd3);
endmodule
`default_nettype wire
