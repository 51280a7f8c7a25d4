// bx_add: the weighted sum of the two streams' n-th beats is the n-th beat.
`default_nettype none
module fv_add #(
    parameter int A_KIND = 2,
    parameter int A_W    = 2,
    parameter int A_GAIN = 3,
    parameter int B_KIND = 0,
    parameter int B_W    = 1,
    parameter int B_GAIN = -2,
    parameter int OUT_W  = 5
) (
    input wire           clk,
    input wire           rst_n,
    input wire [A_W-1:0] s0_axis_tdata,
    input wire           s0_axis_tvalid,
    input wire [B_W-1:0] s1_axis_tdata,
    input wire           s1_axis_tvalid,
    input wire           m_axis_tready,
    input wire [    1:0] pick_frame
);
  wire s0_axis_tready, s1_axis_tready, m_axis_tvalid;
  wire [OUT_W-1:0] m_axis_tdata;
  bx_add #(
      .PE(1), .A_KIND(A_KIND), .A_W(A_W), .A_GAIN(A_GAIN), .B_KIND(B_KIND), .B_W(B_W), .B_GAIN(B_GAIN), .OUT_W(OUT_W)
  ) dut (.*);

  fv_run run (.*);
  wire [1:0] put0, put1, got;  // beats so far
  fv_stream #(.W(A_W), .ASSUMED(1), .STREAK(4)) source0 (
      .clk, .rst_n, .tdata(s0_axis_tdata), .tvalid(s0_axis_tvalid), .tready(s0_axis_tready), .beat(), .frame(put0)
  );
  fv_stream #(.W(B_W), .ASSUMED(1), .STREAK(4)) source1 (
      .clk, .rst_n, .tdata(s1_axis_tdata), .tvalid(s1_axis_tvalid), .tready(s1_axis_tready), .beat(), .frame(put1)
  );
  fv_stream #(.W(OUT_W), .STREAK(4)) sink (
      .clk, .rst_n, .tdata(m_axis_tdata), .tvalid(m_axis_tvalid), .tready(m_axis_tready), .beat(), .frame(got)
  );
  always_comb if (rst_n) assert (put0 == put1);

  // -- any one beat
  logic [1:0] frame;
  always_ff @(posedge clk) if (!rst_n) frame <= pick_frame;
  wire [OUT_W-1:0] a, b, expected;
  fv_element #(.KIND(A_KIND), .W(A_W), .OUT_W(OUT_W)) first (.code(s0_axis_tdata), .value(a));
  fv_element #(.KIND(B_KIND), .W(B_W), .OUT_W(OUT_W)) second (.code(s1_axis_tdata), .value(b));
  wire goes_in = s0_axis_tvalid && s0_axis_tready;
  wire offered = m_axis_tvalid && got == frame;
  fv_expected #(.W(OUT_W)) beat (
      .clk, .rst_n, .learn(goes_in && put0 == frame), .value(OUT_W'(A_GAIN) * a + OUT_W'(B_GAIN) * b),
      .offered, .taken(offered && m_axis_tready), .known(), .expected
  );
  always_comb if (rst_n && offered) assert (m_axis_tdata == expected);

  // each input waits for the other one's beat only
  fv_settles #(.LIMIT(3)) settles (
      .clk, .rst_n, .moves(goes_in || (m_axis_tvalid && m_axis_tready)), .free(m_axis_tready),
      .at_rest(got == put0 && s0_axis_tready == s1_axis_tvalid && s1_axis_tready == s0_axis_tvalid)
  );
endmodule
`default_nettype wire
