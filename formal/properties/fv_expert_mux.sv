// The expert-mux unit: Fork -> (FrameHold, Gate) -> MatVec, with a FIFO of 2 beats on each stream between them.
//
// Each frame's results come from the bank that its own sums choose, in order, however many frames are in flight. The FrameHold
// passes the Gate's token on as the frame is released; the MatVec takes it with the frame's first beat.
`default_nettype none
module fv_expert_mux #(
    parameter int PIXELS  = 2,   // a beat a pixel
    parameter int DEPTH   = 6,   // of the FrameHold
    parameter int SUM_W   = 2,
    parameter int FRAME_W = 4,
    parameter int BEAT_W  = $clog2(PIXELS + 1)
) (
    input wire               clk,
    input wire               rst_n,
    input wire               s_axis_tdata,
    input wire               s_axis_tvalid,
    input wire               m_axis_tready,
    input wire [FRAME_W-1:0] pick_frame,
    input wire [ BEAT_W-1:0] pick_beat
);
  localparam int WEIGHT_W = 2;
  localparam int Z_W = SUM_W + WEIGHT_W + 1;
  localparam int ACC_W = 2;
  wire s_axis_tready, m_axis_tvalid;
  wire [ACC_W-1:0] m_axis_tdata;

  // -- the unit
  wire [1:0] copy, copy_valid, copy_ready;
  wire kept, kept_valid, kept_ready, seen, seen_valid, seen_ready;
  wire choice, choice_valid, choice_ready, token, token_valid, token_ready;
  wire passed, passed_valid, passed_ready, bank, bank_valid, bank_ready;
  wire held, held_valid, held_ready, beat, beat_valid, beat_ready;
  bx_fork #(.W(1), .COPIES(2)) fork_0 (
      .clk, .rst_n, .s_axis_tdata, .s_axis_tvalid, .s_axis_tready,
      .m_axis_tdata(copy), .m_axis_tvalid(copy_valid), .m_axis_tready(copy_ready)
  );
  bx_fifo #(.W(1), .DEPTH(2)) fifo_kept (
      .clk, .rst_n, .s_axis_tdata(copy[0]), .s_axis_tvalid(copy_valid[0]), .s_axis_tready(copy_ready[0]),
      .m_axis_tdata(kept), .m_axis_tvalid(kept_valid), .m_axis_tready(kept_ready)
  );
  bx_fifo #(.W(1), .DEPTH(2)) fifo_seen (
      .clk, .rst_n, .s_axis_tdata(copy[1]), .s_axis_tvalid(copy_valid[1]), .s_axis_tready(copy_ready[1]),
      .m_axis_tdata(seen), .m_axis_tvalid(seen_valid), .m_axis_tready(seen_ready)
  );
  bx_gate #(
      .PE(1), .IN_W(1), .SIGNED(0), .DOUBLE(1), .PIXELS(PIXELS), .WORDS(1), .EXPERTS(2), .LANES(1), .ELEMENTS(1),
      .SUM_W(SUM_W), .WEIGHT_W(WEIGHT_W), .Z_W(Z_W), .TOKEN_W(1), .WEIGHTS("gate.mem"), .BIAS("bias.mem")
  ) gate (
      .clk, .rst_n, .s_axis_tdata(seen), .s_axis_tvalid(seen_valid), .s_axis_tready(seen_ready),
      .m_axis_tdata(choice), .m_axis_tvalid(choice_valid), .m_axis_tready(choice_ready)
  );
  bx_fifo #(.W(1), .DEPTH(2)) fifo_choice (
      .clk, .rst_n, .s_axis_tdata(choice), .s_axis_tvalid(choice_valid), .s_axis_tready(choice_ready),
      .m_axis_tdata(token), .m_axis_tvalid(token_valid), .m_axis_tready(token_ready)
  );
  bx_frame_hold #(.W(1), .TOKEN_W(1), .BEATS(PIXELS), .DEPTH(DEPTH)) hold (
      .clk, .rst_n, .s_axis_tdata(kept), .s_axis_tvalid(kept_valid), .s_axis_tready(kept_ready),
      .s_token_tdata(token), .s_token_tvalid(token_valid), .s_token_tready(token_ready),
      .m_axis_tdata(held), .m_axis_tvalid(held_valid), .m_axis_tready(held_ready),
      .m_token_tdata(passed), .m_token_tvalid(passed_valid), .m_token_tready(passed_ready)
  );
  bx_fifo #(.W(1), .DEPTH(2)) fifo_held (
      .clk, .rst_n, .s_axis_tdata(held), .s_axis_tvalid(held_valid), .s_axis_tready(held_ready),
      .m_axis_tdata(beat), .m_axis_tvalid(beat_valid), .m_axis_tready(beat_ready)
  );
  bx_fifo #(.W(1), .DEPTH(2)) fifo_passed (
      .clk, .rst_n, .s_axis_tdata(passed), .s_axis_tvalid(passed_valid), .s_axis_tready(passed_ready),
      .m_axis_tdata(bank), .m_axis_tvalid(bank_valid), .m_axis_tready(bank_ready)
  );
  bx_matvec #(
      .PE(1), .SIMD(1), .SF(1), .NF(1), .GROUPS(1), .PIXELS(PIXELS), .BANKS(2), .IN_BITS(1), .BIPOLAR(1), .SIGNED(0),
      .MASKED(0), .SLICE(32), .ACC_W(ACC_W), .WEIGHT_BITS(1), .WEIGHTS("weights.mem")
  ) matvec (
      .clk, .rst_n, .s_axis_tdata(beat), .s_axis_tvalid(beat_valid), .s_axis_tready(beat_ready),
      .s_token_tdata(bank), .s_token_tvalid(bank_valid), .s_token_tready(bank_ready),
      .m_axis_tdata, .m_axis_tvalid, .m_axis_tready
  );

  // -- its two ends
  fv_run run (.*);
  wire [FRAME_W-1:0] put, got, told, entered;
  wire [BEAT_W-1:0] in_beat, out_beat, work_beat;
  fv_stream #(.BEATS(PIXELS), .FRAME_W(FRAME_W), .ASSUMED(1), .STREAK(0), .BEAT_W(BEAT_W)) source (
      .clk, .rst_n, .tdata(s_axis_tdata), .tvalid(s_axis_tvalid), .tready(s_axis_tready), .beat(in_beat), .frame(put)
  );
  fv_stream #(.W(ACC_W), .BEATS(PIXELS), .FRAME_W(FRAME_W), .BEAT_W(BEAT_W)) sink (
      .clk, .rst_n, .tdata(m_axis_tdata), .tvalid(m_axis_tvalid), .tready(m_axis_tready), .beat(out_beat), .frame(got)
  );
  wire goes_in = s_axis_tvalid && s_axis_tready;

  // -- the MatVec's token: one a frame, with its first beat; no frame is ahead of its token
  fv_stream #(.FRAME_W(FRAME_W), .STREAK(0)) tokens (
      .clk, .rst_n, .tdata(bank), .tvalid(bank_valid), .tready(bank_ready), .beat(), .frame(told)
  );
  fv_stream #(.BEATS(PIXELS), .FRAME_W(FRAME_W), .STREAK(0), .BEAT_W(BEAT_W)) work (
      .clk, .rst_n, .tdata(beat), .tvalid(beat_valid), .tready(beat_ready), .beat(work_beat), .frame(entered)
  );
  always_comb if (rst_n) assert ((bank_valid && bank_ready) == (beat_valid && beat_ready && work_beat == '0));
  always_comb if (rst_n) assert (told == entered + FRAME_W'(work_beat != '0));

  // -- any one result: the product with the bank that the whole frame chooses
  logic [FRAME_W-1:0] frame;
  logic [BEAT_W-1:0] place;
  always_ff @(posedge clk) if (!rst_n) {frame, place} <= {pick_frame, pick_beat};
  always_comb if (!rst_n) assume (pick_beat <= BEAT_W'(PIXELS - 1));
  logic [0:0] weights[0:1];
  initial $readmemh("weights.mem", weights);
  wire best;
  fv_choice #(.SUM_W(SUM_W), .WEIGHT_W(WEIGHT_W), .Z_W(Z_W), .BEAT_W(BEAT_W)) expert (
      .clk, .take(goes_in && put == frame), .beat(in_beat), .data(s_axis_tdata), .best
  );
  logic x;
  wire x_now = in_beat == place ? s_axis_tdata : x;
  always_ff @(posedge clk) if (goes_in && put == frame) x <= x_now;
  wire offered = m_axis_tvalid && got == frame && out_beat == place;
  wire [ACC_W-1:0] expected;
  fv_expected #(.W(ACC_W)) result (
      .clk, .rst_n, .learn(goes_in && put == frame && in_beat == BEAT_W'(PIXELS - 1)),
      .value(weights[best] == x_now ? ACC_W'(1) : '1), .offered, .taken(offered && m_axis_tready), .known(), .expected
  );
  always_comb if (rst_n && offered) assert (m_axis_tdata == expected);

  // -- it never hangs
  fv_settles #(.LIMIT(16)) settles (
      .clk, .rst_n, .moves(goes_in || (m_axis_tvalid && m_axis_tready)), .free(m_axis_tready),
      .at_rest(s_axis_tready && put == got && out_beat == '0)
  );

  // frames of both experts in flight, and a third one
  logic [1:0] chosen;  // by the last two frames that were released
  always_ff @(posedge clk) if (token_valid && token_ready) chosen <= {chosen[0], token};
  always_comb cover (rst_n && chosen == 2'b01 && FRAME_W'(put - got) > FRAME_W'(2) && got != '0);
endmodule
`default_nettype wire
