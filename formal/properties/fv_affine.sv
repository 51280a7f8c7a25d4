// bx_affine: GAIN * x + offset, with the offset of the beat's place in the pixel.
`default_nettype none
module fv_affine #(
    parameter int BEATS    = 3,
    parameter int KIND     = 2,
    parameter int IN_W     = 2,
    parameter int GAIN     = -3,
    parameter int OFFSET_W = 3,
    parameter int OUT_W    = 5,
    parameter int BEAT_W   = $clog2(BEATS)
) (
    input wire              clk,
    input wire              rst_n,
    input wire [  IN_W-1:0] s_axis_tdata,
    input wire              s_axis_tvalid,
    input wire              m_axis_tready,
    input wire [       1:0] pick_frame,
    input wire [BEAT_W-1:0] pick_beat
);
  wire s_axis_tready, m_axis_tvalid;
  wire [OUT_W-1:0] m_axis_tdata;
  bx_affine #(
      .PE(1), .BEATS(BEATS), .KIND(KIND), .IN_W(IN_W), .GAIN(GAIN), .OFFSET_W(OFFSET_W), .OUT_W(OUT_W),
      .OFFSETS("offsets.mem")
  ) dut (.*);
  logic [OFFSET_W-1:0] offsets[0:BEATS-1];
  initial $readmemh("offsets.mem", offsets);

  fv_run run (.*);
  wire [1:0] put, got;
  wire [BEAT_W-1:0] in_beat, out_beat;
  fv_stream #(.W(IN_W), .BEATS(BEATS), .ASSUMED(1)) source (
      .clk, .rst_n, .tdata(s_axis_tdata), .tvalid(s_axis_tvalid), .tready(s_axis_tready), .beat(in_beat), .frame(put)
  );
  fv_stream #(.W(OUT_W), .BEATS(BEATS)) sink (
      .clk, .rst_n, .tdata(m_axis_tdata), .tvalid(m_axis_tvalid), .tready(m_axis_tready), .beat(out_beat), .frame(got)
  );
  wire goes_in = s_axis_tvalid && s_axis_tready;

  // -- any one beat
  logic [1:0] frame;
  logic [BEAT_W-1:0] place;
  always_ff @(posedge clk) if (!rst_n) {frame, place} <= {pick_frame, pick_beat};
  always_comb if (!rst_n) assume (pick_beat <= BEAT_W'(BEATS - 1));
  wire [OUT_W-1:0] x, offset, expected;
  fv_element #(.KIND(KIND), .W(IN_W), .OUT_W(OUT_W)) element (.code(s_axis_tdata), .value(x));
  fv_element #(.KIND(2), .W(OFFSET_W), .OUT_W(OUT_W)) added (.code(offsets[place]), .value(offset));
  wire offered = m_axis_tvalid && got == frame && out_beat == place;
  fv_expected #(.W(OUT_W)) beat (
      .clk, .rst_n, .learn(goes_in && put == frame && in_beat == place), .value(OUT_W'(GAIN) * x + offset),
      .offered, .taken(offered && m_axis_tready), .known(), .expected
  );
  always_comb if (rst_n && offered) assert (m_axis_tdata == expected);

  fv_settles #(.LIMIT(3)) settles (
      .clk, .rst_n, .moves(goes_in || (m_axis_tvalid && m_axis_tready)), .free(m_axis_tready),
      .at_rest(s_axis_tready && {put, in_beat} == {got, out_beat})
  );
endmodule
`default_nettype wire
