// Matrix-vector products of +-1 weights: xnor and popcount for bipolar inputs, signed sums for numbers.
//
// A window of SF beats is worked on NF times, once for each group of PE rows: the first time (fold 0) as it
// arrives, then from a small buffer. The weights of all banks lie in one memory, word ((bank*GROUPS + group)*NF
// + fold)*SF + sf; a bank is an address offset, looked up from the frame's token.
//
// Bipolar: the accumulator starts at -COLUMNS and a beat adds 2*popcount(xnor); a padded beat adds SIMD, which
// takes its taps out of -COLUMNS. Where all of that is even, the accumulator counts in twos.
//
// One beat of work a cycle, no bubble between folds, groups, pixels or frames. The frame's first beat waits for
// its token and takes it. An output beat is offered 4 cycles (5 if SIMD > SLICE) after its last beat of work:
// memory, memory's output register, popcount of SLICEs (, their sum), accumulator. All stages freeze while an
// offered beat is not taken.
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
    parameter int SLICE   = 32,  // elements summed in one cycle
    parameter int ACC_W   = 5,   // bits of an output element
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
  localparam int BEAT_W = SIMD * IN_BITS + MASKED;
  localparam int COLUMNS = SF * SIMD;
  localparam int WORDS = GROUPS * NF * SF;  // of one bank
  localparam int SLICES = (SIMD + SLICE - 1) / SLICE;
  localparam int STAGES = SLICES > 1 ? 5 : 4;
  // Counting in twos: not where padding takes out an odd number of taps.
  localparam bit TWOS = BIPOLAR != 0 && (MASKED == 0 || SIMD % 2 == 0);
  localparam int COUNT_W = TWOS ? ACC_W - 1 : ACC_W;
  localparam int START = TWOS ? -((COLUMNS + 1) / 2) : BIPOLAR != 0 ? -COLUMNS : 0;
  localparam int WIDEST = SLICES > 1 ? SLICE : SIMD;
  localparam int PART_W = BIPOLAR != 0 ? $clog2(WIDEST + 1) + (TWOS ? 0 : 1) : IN_BITS + $clog2(WIDEST) + 1;
  localparam int SUM_W = BIPOLAR != 0 ? $clog2(SIMD + 1) + (TWOS ? 0 : 1) : IN_BITS + $clog2(SIMD) + 1;
  localparam int TW = $clog2(BANKS) > 0 ? $clog2(BANKS) : 1;
  localparam int AW = $clog2(BANKS * WORDS) > 0 ? $clog2(BANKS * WORDS) : 1;
  localparam int SW = $clog2(SF) > 0 ? $clog2(SF) : 1;
  localparam int FW = $clog2(NF) > 0 ? $clog2(NF) : 1;
  localparam int GW = $clog2(GROUPS) > 0 ? $clog2(GROUPS) : 1;
  localparam int XW = $clog2(PIXELS) > 0 ? $clog2(PIXELS) : 1;

  if (PE < 1 || SIMD < 1 || SF < 1 || NF < 1 || GROUPS < 1 || PIXELS < 1 || BANKS < 1) begin : g_check_sizes
    $error("bx_matvec: sizes must be at least 1");
  end
  if (SLICE < 2 || SLICE % 2 != 0) begin : g_check_slice
    $error("bx_matvec: SLICE must be even");
  end
  if (BIPOLAR != 0 ? IN_BITS != 1 || SIGNED != 0 || ACC_W < $clog2(COLUMNS + 1) + 1 : MASKED != 0) begin : g_check
    $error("bx_matvec: bipolar inputs are 1 bit and need ACC_W bits for +-COLUMNS; only they can be masked");
  end

  // -- control: the word and the beat of this cycle
  logic [SW-1:0] sf;
  logic [FW-1:0] fold;
  logic [GW-1:0] group;
  logic [XW-1:0] pixel;
  logic [AW-1:0] next_address, held_bank;
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

  wire [AW-1:0] bank = start ? bank_address(s_token_tdata) : held_bank;
  wire [AW-1:0] address = start ? bank : next_address;
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
    if (fire) begin
      held_bank <= bank;
      next_address <= last_group ? bank : address + 1'b1;
    end
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
  logic [PE*SIMD-1:0] word, weights;
  logic [BEAT_W-1:0] arrived, beat;
  bx_rom #(
      .W(PE * SIMD), .WORDS(BANKS * WORDS), .FILE(WEIGHTS)
  ) rom (
      .clk(clk), .enable(enable), .address(address), .data(word)
  );
  always_ff @(posedge clk) if (enable) weights <= word;
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

  wire padded = MASKED != 0 && !beat[BEAT_W-1];

  for (genvar p = 0; p < PE; p++) begin : g_pe
    // -- stage 3: sums of slices of the beat
    logic [SLICES*PART_W-1:0] parts;
    for (genvar s = 0; s < SLICES; s++) begin : g_slice
      localparam int LOW = s * SLICE;
      localparam int N = SIMD - LOW < SLICE ? SIMD - LOW : SLICE;
      wire [N-1:0] w = weights[p*SIMD+LOW +: N];
      wire [N*IN_BITS-1:0] x = beat[LOW*IN_BITS +: N*IN_BITS];
      logic [PART_W-1:0] part;
      if (BIPOLAR != 0) begin : g_bits
        wire [N-1:0] same = ~(w ^ x);
        assign part = PART_W'($countones(same)) << (TWOS ? 0 : 1);
      end else begin : g_numbers
        always_comb begin
          part = PART_W'($countones(~w));  // -x is ~x + 1
          for (int i = 0; i < N; i++)
            part = part + ({PART_W{!w[i]}}
                           ^ PART_W'($signed({SIGNED != 0 && x[i*IN_BITS+IN_BITS-1], x[i*IN_BITS +: IN_BITS]})));
        end
      end
      always_ff @(posedge clk) if (enable) parts[s*PART_W +: PART_W] <= padded ? PART_W'(TWOS ? N / 2 : N) : part;
    end

    // -- stage 4 of 5: sum of the slices
    logic [SUM_W-1:0] sum;
    if (SLICES > 1) begin : g_sum
      logic [SUM_W-1:0] total;
      always_comb begin
        total = '0;
        for (int s = 0; s < SLICES; s++)
          total = total + SUM_W'($signed({BIPOLAR == 0 && parts[s*PART_W+PART_W-1], parts[s*PART_W +: PART_W]}));
      end
      always_ff @(posedge clk) if (enable) sum <= total;
    end else begin : g_whole
      assign sum = parts;
    end

    // -- last stage: the accumulator is the output register; its arithmetic may wrap, the result fits
    logic [COUNT_W-1:0] count;
    wire [COUNT_W-1:0] addend = COUNT_W'($signed({BIPOLAR == 0 && sum[SUM_W-1], sum}));
    always_ff @(posedge clk) begin
      if (enable && valid[STAGES-1]) count <= (first[STAGES-1] ? COUNT_W'(START) : count) + addend;
    end
    if (TWOS) begin : g_twos
      assign m_axis_tdata[p*ACC_W +: ACC_W] = {count, COLUMNS % 2 != 0};
    end else begin : g_ones
      assign m_axis_tdata[p*ACC_W +: ACC_W] = count;
    end
  end
endmodule
`default_nettype wire
