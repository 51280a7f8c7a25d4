// bx_matvec: each result is its row's product with the whole window, in the bank that the frame's token names.
//
// A frame takes one token, in the cycle of its first beat; what the token's stream offers afterwards changes nothing.
`default_nettype none
module fv_matvec #(
    parameter int PE     = 1,
    parameter int SIMD   = 1,
    parameter int SF     = 2,
    parameter int NF     = 2,
    parameter int GROUPS = 1,
    parameter int PIXELS = 1,
    parameter int BANKS  = 2,
    parameter int MASKED = 0,
    parameter int SLICE  = 32,
    parameter int ACC_W  = $clog2(SF * SIMD + 1) + 1,
    parameter int IN     = PIXELS * GROUPS * SF,
    parameter int OUT    = PIXELS * GROUPS * NF,
    parameter int TOKEN_W = $clog2(BANKS) > 0 ? $clog2(BANKS) : 1,
    parameter int BEAT_W = $clog2(IN > OUT ? IN + 1 : OUT + 1),
    parameter int FRAME_W = 3
) (
    input wire                   clk,
    input wire                   rst_n,
    input wire [SIMD+MASKED-1:0] s_axis_tdata,
    input wire                   s_axis_tvalid,
    input wire [    TOKEN_W-1:0] s_token_tdata,
    input wire                   s_token_tvalid,
    input wire                   m_axis_tready,
    input wire [    FRAME_W-1:0] pick_frame,
    input wire [     BEAT_W-1:0] pick_beat
);
  wire s_axis_tready, s_token_tready, m_axis_tvalid;
  wire [PE*ACC_W-1:0] m_axis_tdata;
  bx_matvec #(
      .PE(PE), .SIMD(SIMD), .SF(SF), .NF(NF), .GROUPS(GROUPS), .PIXELS(PIXELS), .BANKS(BANKS), .IN_BITS(1), .BIPOLAR(1),
      .SIGNED(0), .MASKED(MASKED), .SLICE(SLICE), .ACC_W(ACC_W), .WEIGHT_BITS(1), .WEIGHTS("weights.mem")
  ) dut (.*);
  localparam int WORDS = GROUPS * NF * SF;  // of a bank
  logic [PE*SIMD-1:0] weights[0:BANKS*WORDS-1];
  initial $readmemh("weights.mem", weights);

  fv_run run (.*);
  wire [FRAME_W-1:0] put, got, told;
  wire [BEAT_W-1:0] in_beat, out_beat;
  fv_stream #(
      .W(SIMD + MASKED), .BEATS(IN), .FRAME_W(FRAME_W), .ASSUMED(1), .BEAT_W(BEAT_W), .STREAK(NF == 1 ? 2 * IN + 1 : SF)
  ) source (
      .clk, .rst_n, .tdata(s_axis_tdata), .tvalid(s_axis_tvalid), .tready(s_axis_tready), .beat(in_beat), .frame(put)
  );
  fv_stream #(
      .W(PE * ACC_W), .BEATS(OUT), .FRAME_W(FRAME_W), .BEAT_W(BEAT_W), .STREAK(SF == 1 ? 2 * OUT + 1 : 0)
  ) sink (
      .clk, .rst_n, .tdata(m_axis_tdata), .tvalid(m_axis_tvalid), .tready(m_axis_tready), .beat(out_beat), .frame(got)
  );
  fv_stream #(.W(TOKEN_W), .FRAME_W(FRAME_W), .ASSUMED(1), .STREAK(0)) tokens (
      .clk, .rst_n, .tdata(s_token_tdata), .tvalid(s_token_tvalid), .tready(s_token_tready), .beat(), .frame(told)
  );
  wire goes_in = s_axis_tvalid && s_axis_tready;
  wire goes_out = m_axis_tvalid && m_axis_tready;
  wire token = s_token_tvalid && s_token_tready;

  // -- one token a frame, with its first beat
  always_comb if (rst_n) assert (token == (goes_in && in_beat == '0));

  // -- any one result: [pixel][group][fold]
  logic [FRAME_W-1:0] frame;
  logic [BEAT_W-1:0] place;
  always_ff @(posedge clk) if (!rst_n) {frame, place} <= {pick_frame, pick_beat};
  always_comb if (!rst_n) assume (pick_beat <= BEAT_W'(OUT - 1));
  wire of_window = goes_in && put == frame && in_beat / BEAT_W'(SF) == place / BEAT_W'(NF);
  wire first = in_beat % BEAT_W'(SF) == '0;
  wire last = in_beat % BEAT_W'(SF) == BEAT_W'(SF - 1);

  logic [TOKEN_W-1:0] held_bank;
  wire [TOKEN_W-1:0] bank = token ? s_token_tdata : held_bank;
  always_ff @(posedge clk) if (put == frame) held_bank <= bank;
  wire [31:0] row = 32'(bank) * WORDS + 32'(place % BEAT_W'(GROUPS * NF)) * SF + 32'(in_beat % BEAT_W'(SF));
  wire [PE*SIMD-1:0] word = weights[row];
  wire present = MASKED == 0 || s_axis_tdata[SIMD+MASKED-1];

  logic [PE*ACC_W-1:0] sofar, sums;
  always_comb begin
    for (int p = 0; p < PE; p++) begin
      sums[p*ACC_W +: ACC_W] = first ? '0 : sofar[p*ACC_W +: ACC_W];
      for (int i = 0; i < SIMD; i++)
        if (present)
          sums[p*ACC_W +: ACC_W] = sums[p*ACC_W +: ACC_W] + (word[p*SIMD+i] == s_axis_tdata[i] ? ACC_W'(1) : '1);
    end
  end
  always_ff @(posedge clk) if (of_window) sofar <= sums;

  wire offered = m_axis_tvalid && got == frame && out_beat == place;
  wire [PE*ACC_W-1:0] expected;
  fv_expected #(.W(PE * ACC_W)) beat (
      .clk, .rst_n, .learn(of_window && last), .value(sums), .offered, .taken(offered && m_axis_tready), .known(),
      .expected
  );
  always_comb if (rst_n && offered) assert (m_axis_tdata == expected);

  // whole windows are out; the next beat is taken, the frame's first one together with a token
  wire whole = in_beat % BEAT_W'(SF) == '0;
  wire all_out = put == got && 32'(out_beat) * SF == 32'(in_beat) * NF;
  fv_settles #(.LIMIT(7 + SF * NF)) settles (
      .clk, .rst_n, .moves(goes_in || goes_out), .free(m_axis_tready),
      .at_rest(s_axis_tready == (in_beat != '0 || s_token_tvalid) && (!whole || all_out))
  );

  // frames of two banks behind each other in the pipeline
  logic [TOKEN_W-1:0] bank_before;
  always_ff @(posedge clk) if (token) bank_before <= s_token_tdata;
  if (BANKS > 1) begin : g_banks
    always_comb cover (rst_n && token && s_token_tdata != bank_before && put == got + FRAME_W'(1) && got != '0);
  end
endmodule
`default_nettype wire
