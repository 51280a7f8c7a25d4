// bx_topk: the r-th index that leaves is the one that exactly r elements go in front of.
`default_nettype none
module fv_topk #(
    parameter int W       = 2,
    parameter int SIGNED  = 1,
    parameter int C       = 3,
    parameter int K       = 2,
    parameter int INDEX_W = $clog2(C)
) (
    input wire               clk,
    input wire               rst_n,
    input wire [      W-1:0] s_axis_tdata,
    input wire               s_axis_tvalid,
    input wire               m_axis_tready,
    input wire [        1:0] pick_frame,
    input wire [INDEX_W-1:0] pick_rank
);
  wire s_axis_tready, m_axis_tvalid;
  wire [INDEX_W-1:0] m_axis_tdata;
  bx_topk #(.W(W), .SIGNED(SIGNED), .C(C), .K(K), .INDEX_W(INDEX_W)) dut (.*);

  fv_run run (.*);
  wire [1:0] put, got;
  wire [INDEX_W-1:0] in_beat, out_beat;
  fv_stream #(.W(W), .BEATS(C), .ASSUMED(1)) source (
      .clk, .rst_n, .tdata(s_axis_tdata), .tvalid(s_axis_tvalid), .tready(s_axis_tready), .beat(in_beat), .frame(put)
  );
  fv_stream #(.W(INDEX_W), .BEATS(K), .STREAK(K), .BEAT_W(INDEX_W)) sink (
      .clk, .rst_n, .tdata(m_axis_tdata), .tvalid(m_axis_tvalid), .tready(m_axis_tready), .beat(out_beat), .frame(got)
  );
  wire goes_in = s_axis_tvalid && s_axis_tready;

  // -- any one index
  logic [1:0] frame;
  logic [INDEX_W-1:0] rank;
  always_ff @(posedge clk) if (!rst_n) {frame, rank} <= {pick_frame, pick_rank};
  always_comb if (!rst_n) assume (pick_rank <= INDEX_W'(K - 1));
  logic [C*W-1:0] entered;  // the frame's elements so far
  always_ff @(posedge clk) if (goes_in && put == frame) entered[in_beat*W +: W] <= s_axis_tdata;
  wire offered = m_axis_tvalid && got == frame && out_beat == rank;
  wire [C*W-1:0] values;
  fv_expected #(.W(C * W)) beat (
      .clk, .rst_n, .learn(goes_in && put == frame && in_beat == INDEX_W'(C - 1)),
      .value({s_axis_tdata, entered[(C-1)*W-1:0]}), .offered, .taken(offered && m_axis_tready), .known(),
      .expected(values)
  );
  wire [W-1:0] chosen = values[m_axis_tdata*W +: W];
  logic [C-1:0] in_front;
  for (genvar c = 0; c < C; c++) begin : g_other
    wire [W-1:0] other = values[c*W +: W];
    wire larger = SIGNED != 0 ? $signed(other) > $signed(chosen) : other > chosen;
    assign in_front[c] = larger || (other == chosen && INDEX_W'(c) < m_axis_tdata);
  end
  always_comb if (rst_n && offered) assert (m_axis_tdata < C && $countones(in_front) == 32'(rank));

  fv_settles #(.LIMIT(2)) settles (
      .clk, .rst_n, .moves(goes_in || (m_axis_tvalid && m_axis_tready)), .free(m_axis_tready),
      .at_rest(s_axis_tready && put == got && out_beat == '0)
  );
endmodule
`default_nettype wire
