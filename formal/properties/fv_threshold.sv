// bx_threshold: for each copy, each result is the number of the channel's thresholds that are reached, plus OFFSET.
`default_nettype none
module fv_threshold #(
    parameter int BEATS   = 2,
    parameter int COPIES  = 2,
    parameter int ACC_W   = 3,
    parameter int SIGNED  = 1,
    parameter int BITS    = 1,
    parameter int OUT_W   = 1,
    parameter int OFFSET  = 0,
    parameter int OUT     = COPIES * BEATS,
    parameter int LEVELS  = (1 << BITS) - 1,
    parameter int BEAT_W  = $clog2(OUT + 1),
    parameter int FRAME_W = 3
) (
    input wire               clk,
    input wire               rst_n,
    input wire [  ACC_W-1:0] s_axis_tdata,
    input wire               s_axis_tvalid,
    input wire               m_axis_tready,
    input wire [FRAME_W-1:0] pick_frame,
    input wire [ BEAT_W-1:0] pick_beat
);
  wire s_axis_tready, m_axis_tvalid;
  wire [OUT_W-1:0] m_axis_tdata;
  bx_threshold #(
      .PE(1), .BEATS(BEATS), .COPIES(COPIES), .ACC_W(ACC_W), .SIGNED(SIGNED), .BITS(BITS), .OUT_W(OUT_W),
      .OFFSET(OFFSET), .THRESHOLDS("search_0.mem"), .THRESHOLDS_1("search_1.mem")
  ) dut (.*);
  // of each word: {falling, all its thresholds}
  logic [LEVELS*ACC_W:0] levels[0:OUT-1];
  initial $readmemh("levels.mem", levels);

  fv_run run (.*);
  wire [FRAME_W-1:0] put, got;
  wire [BEAT_W-1:0] in_beat, out_beat;
  fv_stream #(
      .W(ACC_W), .BEATS(BEATS), .FRAME_W(FRAME_W), .ASSUMED(1), .BEAT_W(BEAT_W),
      .STREAK(COPIES == 1 ? 2 * BEATS + 1 : 2 * BEATS),
      .WAITS(COPIES == 1 ? 1 : 0)  // replayed: only a pixel's first beat waits, for room for all of them
  ) source (
      .clk, .rst_n, .tdata(s_axis_tdata), .tvalid(s_axis_tvalid), .tready(s_axis_tready), .beat(in_beat), .frame(put)
  );
  fv_stream #(.W(OUT_W), .BEATS(OUT), .FRAME_W(FRAME_W), .BEAT_W(BEAT_W)) sink (
      .clk, .rst_n, .tdata(m_axis_tdata), .tvalid(m_axis_tvalid), .tready(m_axis_tready), .beat(out_beat), .frame(got)
  );
  wire goes_in = s_axis_tvalid && s_axis_tready;

  // -- any one result
  logic [FRAME_W-1:0] frame;
  logic [BEAT_W-1:0] place;
  always_ff @(posedge clk) if (!rst_n) {frame, place} <= {pick_frame, pick_beat};
  always_comb if (!rst_n) assume (pick_beat <= BEAT_W'(OUT - 1));
  wire [LEVELS*ACC_W:0] word = levels[place];
  logic [OUT_W-1:0] reached;
  always_comb begin
    reached = OUT_W'(OFFSET);
    for (int i = 0; i < LEVELS; i++) begin
      logic [ACC_W-1:0] level;
      logic at_least;
      level = word[i*ACC_W +: ACC_W];
      at_least = SIGNED != 0 ? $signed(s_axis_tdata) >= $signed(level) : s_axis_tdata >= level;
      if (at_least != word[LEVELS*ACC_W]) reached = reached + 1'b1;
    end
  end
  wire offered = m_axis_tvalid && got == frame && out_beat == place;
  wire [OUT_W-1:0] expected;
  fv_expected #(.W(OUT_W)) beat (
      .clk, .rst_n, .learn(goes_in && put == frame && in_beat == place % BEAT_W'(BEATS)), .value(reached),
      .offered, .taken(offered && m_axis_tready), .known(), .expected
  );
  always_comb if (rst_n && offered) assert (m_axis_tdata == expected);

  fv_settles #(.LIMIT(2 * BITS + 2)) settles (
      .clk, .rst_n, .moves(goes_in || (m_axis_tvalid && m_axis_tready)), .free(m_axis_tready),
      .at_rest(s_axis_tready && put == got && (COPIES == 1 ? out_beat == in_beat : out_beat == '0))
  );
endmodule
`default_nettype wire
