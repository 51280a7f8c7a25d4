// bx_matvec with one bank of weights, and so without tokens. Same cycle behaviour; the token logic vanishes.
`default_nettype none
module bx_matvec_single #(
    parameter int PE      = 2,   // the parameters of bx_matvec, without BANKS
    parameter int SIMD    = 4,
    parameter int SF      = 3,
    parameter int NF      = 2,
    parameter int GROUPS  = 1,
    parameter int PIXELS  = 4,
    parameter int IN_BITS = 1,
    parameter int BIPOLAR = 1,
    parameter int SIGNED  = 0,
    parameter int MASKED  = 0,
    parameter int SLICE   = 32,
    parameter int ACC_W   = 5,
    parameter int WEIGHT_BITS = 1,
    parameter     WEIGHTS = "weights.mem"
) (
    input  wire                            clk,
    input  wire                            rst_n,
    input  wire  [SIMD*IN_BITS+MASKED-1:0] s_axis_tdata,
    input  wire                            s_axis_tvalid,
    output logic                           s_axis_tready,
    output logic [PE*ACC_W-1:0]            m_axis_tdata,
    output logic                           m_axis_tvalid,
    input  wire                            m_axis_tready
);
  wire unused_token_ready;
  bx_matvec #(
      .PE(PE), .SIMD(SIMD), .SF(SF), .NF(NF), .GROUPS(GROUPS), .PIXELS(PIXELS), .BANKS(1), .IN_BITS(IN_BITS),
      .BIPOLAR(BIPOLAR), .SIGNED(SIGNED), .MASKED(MASKED), .SLICE(SLICE), .ACC_W(ACC_W),
      .WEIGHT_BITS(WEIGHT_BITS), .WEIGHTS(WEIGHTS)
  ) matvec (
      .clk(clk), .rst_n(rst_n),
      .s_axis_tdata(s_axis_tdata), .s_axis_tvalid(s_axis_tvalid), .s_axis_tready(s_axis_tready),
      .s_token_tdata(1'b0), .s_token_tvalid(1'b1), .s_token_tready(unused_token_ready),
      .m_axis_tdata(m_axis_tdata), .m_axis_tvalid(m_axis_tvalid), .m_axis_tready(m_axis_tready)
  );
endmodule
`default_nettype wire
