// Matrix-vector products. The sum of a row over one beat is bx_dot's.
//
// A window of SF beats is worked on NF times, once for each group of PE rows: the first time (fold 0) as it
// arrives, then from a small buffer. The weights of all banks lie in one memory, word ((bank*GROUPS + group)*NF
// + fold)*SF + sf; a bank is an address offset, looked up from the frame's token.
//
// +-1 x +-1: the accumulator starts at -COLUMNS and a beat adds 2*popcount(xnor); a padded beat adds SIMD, which
// takes its taps out of -COLUMNS. Where all of that is even, the accumulator counts in twos. All others start at 0.
//
// One beat of work a cycle, no bubble between folds, groups, pixels or frames. The frame's first beat waits for
// its token and takes it. An output beat is offered 4 to 6 cycles after its last beat of work: memory, memory's
// output register, one to three in bx_dot, accumulator. All stages freeze while an offered beat is not taken.
`default_nettype none
module bx_matvec #(
    parameter int PE      = 2,   // rows worked on at once
    parameter int SIMD    = 4,   // columns worked on at once
    parameter int SF      = 3,   // beats of a window: columns / SIMD
    parameter int NF      = 2,   // folds: rows / PE
    parameter int GROUPS  = 1,   // windows of a pixel, each with its own rows
    parameter int PIXELS  = 4,   // pixels of a frame
    parameter int BANKS   = 2,   // experts
    parameter int IN_BITS = 1,   // bits of an input element
    parameter int BIPOLAR = 1,   // inputs are bits: 1 = +1, 0 = -1
    parameter int SIGNED  = 0,   // else: inputs are two's complement
    parameter int MASKED  = 0,   // bipolar: a bit above a beat's elements is 0 where the beat is zero padding
    parameter int SLICE   = 36,  // elements summed in one cycle
    parameter int ACC_W   = 5,   // bits of an output element
    parameter int WEIGHT_BITS = 1,  // 1: weights are bits, 1 = +1, 0 = -1; else two's complement
    parameter     WEIGHTS = "weights.mem"
) (
    input  wire                                               clk,
    input  wire                                               rst_n,
    input  wire  [SIMD*IN_BITS+MASKED-1:0]                    s_axis_tdata,
    input  wire                                               s_axis_tvalid,
    output logic                                              s_axis_tready,
    input  wire  [($clog2(BANKS) > 0 ? $clog2(BANKS) : 1)-1:0] s_token_tdata,
    input  wire                                               s_token_tvalid,
    output logic                                              s_token_tready,
    output logic [PE*ACC_W-1:0]                               m_axis_tdata,
    output logic                                              m_axis_tvalid,
    input  wire                                               m_axis_tready
);
  localparam int LUTRAM_DEPTH = 64;  // deeper windows may become block RAM
  localparam int BEAT_W = SIMD * IN_BITS + MASKED;
  localparam int COLUMNS = SF * SIMD;
  localparam int WORDS = GROUPS * NF * SF;  // of one bank
  // The factor with the fewer digits of base 4 is the one that bx_dot reads digit by digit.
  localparam int X_KIND = BIPOLAR != 0 ? 0 : SIGNED != 0 ? 2 : 1;
  localparam int W_KIND = WEIGHT_BITS > 1 ? 2 : 0;
  localparam int X_TERMS = BIPOLAR != 0 ? 1 : (IN_BITS + 2 - SIGNED) / 2;
  localparam int W_TERMS = (WEIGHT_BITS + 1) / 2;
  localparam bit BY_INPUT = W_KIND != 0 && (BIPOLAR != 0 || X_TERMS < W_TERMS);
  localparam int STAGES = 4 + ((BY_INPUT ? X_TERMS : W_TERMS) > 1 ? 1 : 0) + (SIMD > SLICE ? 1 : 0);
  localparam bit COUNTS = X_KIND == 0 && W_KIND == 0;
  localparam bit CONSTANT = BANKS * WORDS == 1;  // nothing is folded: one word, which synthesis can work into the LUTs
  // Counting in twos: not where padding takes out an odd number of taps.
  localparam bit TWOS = COUNTS && (MASKED == 0 || SIMD % 2 == 0);
  localparam int COUNT_W = TWOS ? ACC_W - 1 : ACC_W;
  localparam int START = TWOS ? -((COLUMNS + 1) / 2) : COUNTS ? -COLUMNS : 0;
  localparam int SUM_W = COUNTS ? $clog2(SIMD + 1) + (TWOS ? 0 : 1) : IN_BITS + $clog2(SIMD) + WEIGHT_BITS;
  localparam int TW = $clog2(BANKS) > 0 ? $clog2(BANKS) : 1;
  localparam int AW = $clog2(BANKS * WORDS) > 0 ? $clog2(BANKS * WORDS) : 1;
  localparam int SW = $clog2(SF) > 0 ? $clog2(SF) : 1;
  localparam int FW = $clog2(NF) > 0 ? $clog2(NF) : 1;
  localparam int GW = $clog2(GROUPS) > 0 ? $clog2(GROUPS) : 1;
  localparam int XW = $clog2(PIXELS) > 0 ? $clog2(PIXELS) : 1;

  if (PE < 1 || SIMD < 1 || SF < 1 || NF < 1 || GROUPS < 1 || PIXELS < 1 || BANKS < 1) begin : g_check_sizes
    $error("bx_matvec: sizes must be at least 1");
  end
  if (SLICE < 2 || SLICE % 2 != 0 || WEIGHT_BITS < 1) begin : g_check_slice
    $error("bx_matvec: SLICE must be even and WEIGHT_BITS at least 1");
  end
  if (BIPOLAR != 0 ? IN_BITS != 1 || SIGNED != 0 : MASKED != 0) begin : g_check
    $error("bx_matvec: bipolar inputs are 1 bit; only they can be masked");
  end
  if (COUNTS && ACC_W < $clog2(COLUMNS + 1) + 1) begin : g_check_width
    $error("bx_matvec: +-1 x +-1 needs ACC_W bits for +-COLUMNS");
  end

  // -- control: the word and the beat of this cycle
  logic [SW-1:0] sf;
  logic [FW-1:0] fold;
  logic [GW-1:0] group;
  logic [XW-1:0] pixel;
  logic [AW-1:0] offset;  // of this cycle's word in its bank
  logic start;  // the next beat of work is a frame's first

  function automatic logic [AW-1:0] bank_address(input logic [TW-1:0] token);
    bank_address = '0;
    for (int b = 0; b < BANKS; b++) if (token == TW'(b)) bank_address = AW'(b * WORDS);
  endfunction

  wire enable = !m_axis_tvalid || m_axis_tready;
  wire arriving = fold == '0;
  wire told = !start || s_token_tvalid;
  wire fire = enable && told && (!arriving || s_axis_tvalid);
  assign s_axis_tready = enable && told && arriving;
  assign s_token_tready = enable && start && s_axis_tvalid;

  wire [AW-1:0] bank;  // address of the bank's first word
  wire [AW-1:0] address = offset + bank;
  if (BANKS == 1) begin : g_one_bank
    assign bank = '0;
    wire unused_token = &s_token_tdata;
  end else begin : g_banks
    logic [AW-1:0] held;
    assign bank = start ? bank_address(s_token_tdata) : held;
    always_ff @(posedge clk) if (fire) held <= bank;
  end
  wire last_sf = sf == SW'(SF - 1);
  wire last_fold = last_sf && fold == FW'(NF - 1);
  wire last_group = last_fold && group == GW'(GROUPS - 1);
  wire last_pixel = last_group && pixel == XW'(PIXELS - 1);

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      sf <= '0;
      fold <= '0;
      group <= '0;
      pixel <= '0;
      start <= 1'b1;
    end else if (fire) begin
      sf <= last_sf ? '0 : sf + 1'b1;
      if (last_sf) fold <= last_fold ? '0 : fold + 1'b1;
      if (last_fold) group <= last_group ? '0 : group + 1'b1;
      if (last_group) pixel <= last_pixel ? '0 : pixel + 1'b1;
      start <= last_pixel;
    end
  end
  always_ff @(posedge clk) begin
    if (!rst_n) offset <= '0;
    else if (fire) offset <= last_group ? '0 : offset + 1'b1;
  end

  // -- flags that travel with the work; stage k is k cycles after the firing
  logic [STAGES-1:1] valid, first, last;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      valid <= '0;
      m_axis_tvalid <= 1'b0;
    end else if (enable) begin
      valid <= {valid[STAGES-2:1], fire};
      m_axis_tvalid <= valid[STAGES-1] && last[STAGES-1];
    end
  end
  always_ff @(posedge clk) begin
    if (enable) begin
      first <= {first[STAGES-2:1], sf == '0};
      last <= {last[STAGES-2:1], last_sf};
    end
  end

  // -- stages 1 and 2: weights, and the beat from the stream or from the window's buffer
  logic [PE*SIMD*WEIGHT_BITS-1:0] word, weights;
  logic [BEAT_W-1:0] beat;
  bx_rom #(
      .W(PE * SIMD * WEIGHT_BITS), .WORDS(BANKS * WORDS), .FILE(WEIGHTS)
  ) rom (
      .clk(clk), .enable(enable), .address(address), .data(word)
  );
  if (CONSTANT) begin : g_constant
    assign weights = word;
  end else begin : g_registered
    always_ff @(posedge clk) if (enable) weights <= word;
  end

  if (NF > 1 && SF <= LUTRAM_DEPTH) begin : g_small_window
    // read a cycle after it is written: what has just arrived comes the same way as what is replayed
    logic [BEAT_W-1:0] window[0:SF-1];
    logic [SW-1:0] sf_1;
    always_ff @(posedge clk) if (fire && arriving) window[sf] <= s_axis_tdata;
    always_ff @(posedge clk) if (enable) sf_1 <= sf;
    always_ff @(posedge clk) if (enable) beat <= window[sf_1];
  end else begin : g_arrived
    logic [BEAT_W-1:0] arrived;
    always_ff @(posedge clk) if (enable) arrived <= s_axis_tdata;
    if (NF > 1) begin : g_window
      logic [BEAT_W-1:0] window[0:SF-1];
      logic [BEAT_W-1:0] kept;
      logic replay;
      always_ff @(posedge clk) if (fire && arriving) window[sf] <= s_axis_tdata;
      always_ff @(posedge clk) if (enable) kept <= window[sf];
      always_ff @(posedge clk) if (enable) replay <= !arriving;
      always_ff @(posedge clk) if (enable) beat <= replay ? kept : arrived;
    end else begin : g_once
      always_ff @(posedge clk) if (enable) beat <= arrived;
    end
  end

  wire padded = MASKED != 0 && !beat[BEAT_W-1];

  for (genvar p = 0; p < PE; p++) begin : g_pe
    // -- from stage 3 on: sum of the beat
    wire [SIMD*WEIGHT_BITS-1:0] row = weights[p*SIMD*WEIGHT_BITS +: SIMD*WEIGHT_BITS];
    wire [SIMD*IN_BITS-1:0] x = beat[SIMD*IN_BITS-1:0];
    logic [SUM_W-1:0] sum;
    if (BY_INPUT) begin : g_by_input
      bx_dot #(
          .N(SIMD), .SLICE(SLICE), .A_KIND(X_KIND), .A_BITS(IN_BITS), .B_KIND(W_KIND), .B_BITS(WEIGHT_BITS),
          .SUM_W(SUM_W)
      ) dot (
          .clk(clk), .enable(enable), .a(x), .b(row), .zero(padded), .sum(sum)
      );
    end else begin : g_by_weight
      bx_dot #(
          .N(SIMD), .SLICE(SLICE), .A_KIND(W_KIND), .A_BITS(WEIGHT_BITS), .B_KIND(X_KIND), .B_BITS(IN_BITS),
          .CONSTANT(CONSTANT ? 1 : 0), .HALF(TWOS ? 1 : 0), .SUM_W(SUM_W)
      ) dot (
          .clk(clk), .enable(enable), .a(row), .b(x), .zero(padded), .sum(sum)
      );
    end

    // -- last stage: the accumulator is the output register; its arithmetic may wrap, the result fits
    logic [COUNT_W-1:0] count;
    wire [COUNT_W-1:0] addend = COUNT_W'($signed({!COUNTS && sum[SUM_W-1], sum}));
    always_ff @(posedge clk) begin
      if (enable && valid[STAGES-1]) count <= addend + (first[STAGES-1] ? COUNT_W'(START) : count);
    end
    if (TWOS) begin : g_twos
      assign m_axis_tdata[p*ACC_W +: ACC_W] = {count, COLUMNS % 2 != 0};
    end else begin : g_ones
      assign m_axis_tdata[p*ACC_W +: ACC_W] = count;
    end
  end
endmodule
`default_nettype wire
