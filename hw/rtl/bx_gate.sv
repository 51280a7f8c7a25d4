// Chooses a frame's expert: sums every channel over the frame, multiplies the sums with a small integer
// matrix, adds a bias and sends the LOWEST index with the largest result.
//
// A beat a cycle is added to one of two sets of sums; the frame's first pixel overwrites, so nothing has to be
// cleared. With the frame's last beat (cycle t) the sets change roles: from t+1 on the layer reads the finished
// set, LANES experts x ELEMENTS sums a cycle, STEPS cycles a frame, while the next frame is summed in the
// other. The first beat of a frame waits only while the layer still needs the set. The token is offered
// STEPS + 4 + log2(ELEMENTS) + LANES cycles after the last beat. The layer is one rigid pipeline, frozen while an
// offered token is not taken; steps of successive frames follow each other without a gap.
`default_nettype none
module bx_gate #(
    parameter int PE       = 4,    // elements of a beat
    parameter int IN_W     = 1,    // bits of an element
    parameter int SIGNED   = 0,    // elements and sums are two's complement
    parameter int DOUBLE   = 1,    // z = 2 * product + bias (bits are counted, and stand for +1 and -1)
    parameter int PIXELS   = 49,   // pixels in a frame
    parameter int WORDS    = 16,   // beats in a pixel
    parameter int EXPERTS  = 4,    // at least 2
    parameter int LANES    = 1,    // experts at once; divides EXPERTS
    parameter int ELEMENTS = 2,    // sums at once; divides PE
    parameter int SUM_W    = 6,    // bits of a sum
    parameter int WEIGHT_W = 8,    // bits of a weight, two's complement
    parameter int Z_W      = 20,   // bits that hold every result and product; arithmetic is modulo 2^Z_W
    parameter int TOKEN_W  = 2,    // bits of a token
    parameter WEIGHTS = "",   // STEPS words: [lane][element], element innermost
    parameter BIAS    = ""    // PASSES words: [lane]
) (
    input  wire                clk,
    input  wire                rst_n,
    input  wire  [PE*IN_W-1:0] s_axis_tdata,
    input  wire                s_axis_tvalid,
    output logic               s_axis_tready,
    output logic [TOKEN_W-1:0] m_axis_tdata,
    output logic               m_axis_tvalid,
    input  wire                m_axis_tready
);
  localparam int PARTS = PE / ELEMENTS;
  localparam int PASSES = EXPERTS / LANES;
  localparam int STEPS = PASSES * WORDS * PARTS;
  localparam int AW = $clog2(WORDS) > 0 ? $clog2(WORDS) : 1;
  localparam int XW = $clog2(PIXELS) > 0 ? $clog2(PIXELS) : 1;
  localparam int SW = $clog2(STEPS) > 0 ? $clog2(STEPS) : 1;
  localparam int PW = $clog2(PARTS) > 0 ? $clog2(PARTS) : 1;
  localparam int GW = $clog2(PASSES) > 0 ? $clog2(PASSES) : 1;
  localparam int LW = $clog2(LANES) > 0 ? $clog2(LANES) : 1;

  if (PARTS * ELEMENTS != PE || PASSES * LANES != EXPERTS || $clog2(EXPERTS) > TOKEN_W) begin : g_check
    $error("bx_gate: ELEMENTS must divide PE, LANES must divide EXPERTS, TOKEN_W must hold EXPERTS-1");
  end
  if (EXPERTS < 2 || SUM_W + 1 + WEIGHT_W > Z_W) begin : g_check_widths
    $error("bx_gate: EXPERTS must be at least 2 and Z_W must hold a product of SUM_W+1 and WEIGHT_W bits");
  end

  // ---- sums: two sets, each one word a beat of a pixel ---------------------------------------------------
  logic [1:0] full;      // sets that hold a finished frame
  logic in_set;          // set of the frame that enters
  logic [AW-1:0] in_word;
  logic [XW-1:0] pixel;
  logic fc_set;          // set that the layer reads
  logic [AW-1:0] fc_word;

  assign s_axis_tready = !full[in_set];
  wire take = s_axis_tvalid && s_axis_tready;
  wire last_word = in_word == AW'(WORDS - 1);
  wire last_beat = last_word && pixel == XW'(PIXELS - 1);

  logic [PE*SUM_W-1:0] sums0[0:WORDS-1];
  logic [PE*SUM_W-1:0] sums1[0:WORDS-1];
  wire [PE*SUM_W-1:0] read0 = sums0[full[0] ? fc_word : in_word];
  wire [PE*SUM_W-1:0] read1 = sums1[full[1] ? fc_word : in_word];
  wire [PE*SUM_W-1:0] held = in_set ? read1 : read0;
  wire [PE*SUM_W-1:0] added;
  for (genvar p = 0; p < PE; p++) begin : g_add
    wire [IN_W-1:0] x = s_axis_tdata[p*IN_W +: IN_W];
    wire [SUM_W-1:0] sum = pixel == '0 ? '0 : held[p*SUM_W +: SUM_W];
    assign added[p*SUM_W +: SUM_W] = sum + (SIGNED != 0 ? SUM_W'($signed(x)) : SUM_W'(x));
  end
  always_ff @(posedge clk) if (take && !in_set) sums0[in_word] <= added;
  always_ff @(posedge clk) if (take && in_set) sums1[in_word] <= added;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      in_set <= 1'b0;
      in_word <= '0;
      pixel <= '0;
    end else if (take) begin
      in_word <= last_word ? '0 : in_word + 1'b1;
      if (last_word) pixel <= last_beat ? '0 : pixel + 1'b1;
      if (last_beat) in_set <= !in_set;
    end
  end

  // ---- the layer's steps: for each group of LANES experts, each word, each part of a word ----------------
  logic [PW-1:0] part;
  logic [GW-1:0] pass;
  logic [SW-1:0] step;
  wire enable = !m_axis_tvalid || m_axis_tready;
  wire fire = enable && full[fc_set];
  wire last_part = part == PW'(PARTS - 1);
  wire pass_first = fc_word == '0 && part == '0;
  wire pass_last = fc_word == AW'(WORDS - 1) && last_part;
  wire last_step = step == SW'(STEPS - 1);

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      full <= 2'b00;
      fc_set <= 1'b0;
      fc_word <= '0;
      part <= '0;
      pass <= '0;
      step <= '0;
    end else begin
      if (fire) begin
        part <= last_part ? '0 : part + 1'b1;
        if (last_part) fc_word <= pass_last ? '0 : fc_word + 1'b1;
        if (pass_last) pass <= last_step ? '0 : pass + 1'b1;
        step <= last_step ? '0 : step + 1'b1;
        if (last_step) begin
          fc_set <= !fc_set;
          full[fc_set] <= 1'b0;
        end
      end
      if (take && last_beat) full[in_set] <= 1'b1;  // never the set that the layer frees: that one is full
    end
  end

  // ---- operands, products, adder tree --------------------------------------------------------------------
  localparam int LEVELS = $clog2(ELEMENTS);
  localparam int LEAVES = 1 << LEVELS;
  localparam int DEEP = 3 + LEVELS;     // registers from a step to the adder tree's result
  localparam int DONE = DEEP + LANES;   // ... and to the best score of all lanes
  // No bit more than a product has: where a register only repeats the sign, Yosys' packing into DSPs makes it 0.
  localparam int PROD_W = SUM_W + WEIGHT_W;

  logic [LANES*ELEMENTS*WEIGHT_W-1:0] weight_rom[0:STEPS-1];
  logic [LANES*Z_W-1:0] bias_rom[0:PASSES-1];
  initial $readmemh(WEIGHTS, weight_rom);
  initial $readmemh(BIAS, bias_rom);

  // A multiplier straight behind a block RAM would be the slowest path: its output has a register.
  logic [LANES*ELEMENTS*WEIGHT_W-1:0] weights_read, weights;
  logic [ELEMENTS*SUM_W-1:0] sums_read, sums;
  logic [LANES*Z_W-1:0] bias;
  wire [PE*SUM_W-1:0] word = fc_set ? read1 : read0;

  // What a step is, along the pipeline; stage s is s registers behind the step.
  logic [DEEP:1] first_at;
  logic [DONE:1] valid_at, last_at;
  logic [DONE*GW-1:0] pass_at;  // stage s is slice s-1
  always_ff @(posedge clk) begin
    if (!rst_n) valid_at <= '0;
    else if (enable) valid_at <= {valid_at[DONE-1:1], fire};
  end
  always_ff @(posedge clk) begin
    if (enable) begin
      first_at <= {first_at[DEEP-1:1], pass_first};
      last_at <= {last_at[DONE-1:1], pass_last};
      pass_at <= {pass_at[(DONE-1)*GW-1:0], pass};
      weights_read <= weight_rom[step];
      weights <= weights_read;
      sums_read <= word[32'(part)*ELEMENTS*SUM_W +: ELEMENTS*SUM_W];
      sums <= sums_read;
      bias <= bias_rom[pass_at[(DEEP-2)*GW +: GW]];
    end
  end

  // ---- scores, one a lane, and the best lane of a pass ---------------------------------------------------
  // Lane j's score passes the comparator j registers after lane 0's, so the chain of comparisons has one a cycle.
  wire [LANES*Z_W-1:0] chain_z;   // best of lanes 0..j, j registers behind the scores
  wire [LANES*LW-1:0] chain_lane;

  for (genvar j = 0; j < LANES; j++) begin : g_lane
    // a heap: node i is the registered sum of nodes 2i and 2i+1, the leaves are the products
    wire [2*LEAVES*Z_W-1:Z_W] node;
    for (genvar q = 0; q < LEAVES; q++) begin : g_leaf
      if (q < ELEMENTS) begin : g_product
        wire top = SIGNED != 0 ? sums[(q+1)*SUM_W-1] : 1'b0;
        wire signed [SUM_W:0] sum = $signed({top, sums[q*SUM_W +: SUM_W]});
        wire signed [WEIGHT_W-1:0] weight = $signed(weights[(j*ELEMENTS+q)*WEIGHT_W +: WEIGHT_W]);
        logic signed [PROD_W-1:0] product;
        always_ff @(posedge clk) if (enable) product <= PROD_W'(sum) * PROD_W'(weight);
        assign node[(LEAVES+q)*Z_W +: Z_W] = Z_W'(product);
      end else begin : g_none
        assign node[(LEAVES+q)*Z_W +: Z_W] = '0;
      end
    end
    for (genvar i = 1; i < LEAVES; i++) begin : g_node
      logic [Z_W-1:0] sum;
      always_ff @(posedge clk) if (enable) sum <= node[2*i*Z_W +: Z_W] + node[(2*i+1)*Z_W +: Z_W];
      assign node[i*Z_W +: Z_W] = sum;
    end

    logic [Z_W-1:0] score;
    wire [Z_W-1:0] start = first_at[DEEP] ? bias[j*Z_W +: Z_W] : score;
    always_ff @(posedge clk) if (enable && valid_at[DEEP]) score <= start + (node[Z_W +: Z_W] << DOUBLE);

    if (j == 0) begin : g_first
      assign chain_z[Z_W-1:0] = score;
      assign chain_lane[LW-1:0] = '0;
    end else begin : g_chain
      logic [j*Z_W-1:0] late;  // the score and its past: slice j-1 is as late as lane j-1's place in the chain
      if (j == 1) begin : g_now
        assign late = score;
      end else begin : g_late
        logic [(j-1)*Z_W-1:0] past;
        always_ff @(posedge clk) if (enable) past <= late[(j-1)*Z_W-1:0];
        assign late = {past, score};
      end
      wire [Z_W-1:0] own = late[(j-1)*Z_W +: Z_W];
      wire [Z_W-1:0] other = chain_z[(j-1)*Z_W +: Z_W];
      wire better = $signed(own) > $signed(other);
      logic [Z_W-1:0] best_z;
      logic [LW-1:0] best_lane;
      always_ff @(posedge clk) begin
        if (enable) begin
          best_z <= better ? own : other;
          best_lane <= better ? LW'(j) : chain_lane[(j-1)*LW +: LW];
        end
      end
      assign chain_z[j*Z_W +: Z_W] = best_z;
      assign chain_lane[j*LW +: LW] = best_lane;
    end
  end

  // ---- best of the passes, and the token -----------------------------------------------------------------
  wire done = valid_at[DONE] && last_at[DONE];
  wire [GW-1:0] which = pass_at[(DONE-1)*GW +: GW];
  wire [Z_W-1:0] z = chain_z[(LANES-1)*Z_W +: Z_W];
  wire [LW-1:0] lane = chain_lane[(LANES-1)*LW +: LW];
  logic [Z_W-1:0] best;
  wire wins = which == '0 || $signed(z) > $signed(best);

  always_ff @(posedge clk) begin
    if (!rst_n) m_axis_tvalid <= 1'b0;
    else if (enable) m_axis_tvalid <= done && which == GW'(PASSES - 1);
  end
  always_ff @(posedge clk) begin
    if (enable && done && wins) begin
      best <= z;
      m_axis_tdata <= TOKEN_W'(32'(which) * LANES + 32'(lane));
    end
  end
endmodule
`default_nettype wire
