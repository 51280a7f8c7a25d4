// bx_concat: of every pixel the beats of the first stream, then those of the second, each element converted.
`default_nettype none
module fv_concat #(
    parameter int PE           = 1,
    parameter int FIRST_KIND   = 0,
    parameter int FIRST_W      = 1,
    parameter int FIRST_BEATS  = 1,
    parameter int SECOND_KIND  = 2,
    parameter int SECOND_W     = 2,
    parameter int SECOND_BEATS = 2,
    parameter int OUT_W        = 3,
    parameter int BEATS        = FIRST_BEATS + SECOND_BEATS,
    parameter int BEAT_W       = $clog2(BEATS)
) (
    input wire                   clk,
    input wire                   rst_n,
    input wire [ PE*FIRST_W-1:0] s0_axis_tdata,
    input wire                   s0_axis_tvalid,
    input wire [PE*SECOND_W-1:0] s1_axis_tdata,
    input wire                   s1_axis_tvalid,
    input wire                   m_axis_tready,
    input wire [            1:0] pick_frame,
    input wire [     BEAT_W-1:0] pick_beat
);
  wire s0_axis_tready, s1_axis_tready, m_axis_tvalid;
  wire [PE*OUT_W-1:0] m_axis_tdata;
  bx_concat #(
      .PE(PE), .FIRST_KIND(FIRST_KIND), .FIRST_W(FIRST_W), .FIRST_BEATS(FIRST_BEATS),
      .SECOND_KIND(SECOND_KIND), .SECOND_W(SECOND_W), .SECOND_BEATS(SECOND_BEATS), .OUT_W(OUT_W)
  ) dut (.*);

  fv_run run (.*);
  wire [1:0] put0, put1, got;
  wire [BEAT_W-1:0] in0_beat, in1_beat, out_beat;
  fv_stream #(.W(PE * FIRST_W), .BEATS(FIRST_BEATS), .ASSUMED(1), .STREAK(0), .BEAT_W(BEAT_W)) source0 (
      .clk, .rst_n, .tdata(s0_axis_tdata), .tvalid(s0_axis_tvalid), .tready(s0_axis_tready),
      .beat(in0_beat), .frame(put0)
  );
  fv_stream #(.W(PE * SECOND_W), .BEATS(SECOND_BEATS), .ASSUMED(1), .STREAK(0), .BEAT_W(BEAT_W)) source1 (
      .clk, .rst_n, .tdata(s1_axis_tdata), .tvalid(s1_axis_tvalid), .tready(s1_axis_tready),
      .beat(in1_beat), .frame(put1)
  );
  fv_stream #(.W(PE * OUT_W), .BEATS(BEATS), .BEAT_W(BEAT_W)) sink (
      .clk, .rst_n, .tdata(m_axis_tdata), .tvalid(m_axis_tvalid), .tready(m_axis_tready), .beat(out_beat), .frame(got)
  );
  wire in0 = s0_axis_tvalid && s0_axis_tready;
  wire in1 = s1_axis_tvalid && s1_axis_tready;

  // -- any one beat
  logic [1:0] frame;
  logic [BEAT_W-1:0] place;
  always_ff @(posedge clk) if (!rst_n) {frame, place} <= {pick_frame, pick_beat};
  always_comb if (!rst_n) assume (pick_beat <= BEAT_W'(BEATS - 1));
  wire [PE*OUT_W-1:0] value0, value1;
  for (genvar p = 0; p < PE; p++) begin : g_element
    fv_element #(.KIND(FIRST_KIND), .W(FIRST_W), .OUT_W(OUT_W)) first (
        .code(s0_axis_tdata[p*FIRST_W +: FIRST_W]), .value(value0[p*OUT_W +: OUT_W])
    );
    fv_element #(.KIND(SECOND_KIND), .W(SECOND_W), .OUT_W(OUT_W)) second (
        .code(s1_axis_tdata[p*SECOND_W +: SECOND_W]), .value(value1[p*OUT_W +: OUT_W])
    );
  end
  wire of_first = place < BEAT_W'(FIRST_BEATS);
  wire offered = m_axis_tvalid && got == frame && out_beat == place;
  wire [PE*OUT_W-1:0] expected;
  fv_expected #(.W(PE * OUT_W)) beat (
      .clk, .rst_n,
      .learn(of_first ? in0 && put0 == frame && in0_beat == place
                      : in1 && put1 == frame && in1_beat == place - BEAT_W'(FIRST_BEATS)),
      .value(of_first ? value0 : value1), .offered, .taken(offered && m_axis_tready), .known(), .expected
  );
  always_comb if (rst_n && offered) assert (m_axis_tdata == expected);

  // the next beat of the stream whose turn it is
  wire [BEAT_W-1:0] entered = put0 == put1 ? in0_beat : BEAT_W'(FIRST_BEATS) + in1_beat;
  fv_settles #(.LIMIT(2)) settles (
      .clk, .rst_n, .moves(in0 || in1 || (m_axis_tvalid && m_axis_tready)), .free(m_axis_tready),
      .at_rest((put0 == put1 ? s0_axis_tready : s1_axis_tready) && got == put1 && out_beat == entered)
  );
endmodule
`default_nettype wire
