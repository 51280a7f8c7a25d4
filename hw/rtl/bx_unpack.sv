// Cuts packets of bytes on an AXI4-Stream with TKEEP into the accelerator's beats; the first byte is the low one.
//
// A packet holds whole frames behind each other, with nothing between them; words and beats may have any number of
// bytes. Two registers on the way: a word taken in cycle t is offered as beats from t+2 on. Offers a beat in every
// cycle if the words come fast enough, and takes a word in every cycle if the beats are wide enough.
//
// What can't be cut into whole frames is a fault: it is told in `fault_last` (the packet ends within a frame) or
// `fault_keep` (a word with gaps, or a short one before the packet's end), and from then on until the reset words are
// taken and dropped unseen, so that whoever sends them doesn't hang. Beats of the broken frame may have been offered before.
`default_nettype none
module bx_unpack #(
    parameter int IN_BYTES  = 8,  // bytes of a word
    parameter int OUT_BYTES = 1,  // bytes of a beat
    parameter int BEATS     = 1   // beats in a frame
) (
    input  wire                    clk,
    input  wire                    rst_n,
    input  wire  [8*IN_BYTES-1:0]  s_axis_tdata,
    input  wire  [IN_BYTES-1:0]    s_axis_tkeep,
    input  wire                    s_axis_tlast,
    input  wire                    s_axis_tvalid,
    output logic                   s_axis_tready,
    output logic [8*OUT_BYTES-1:0] m_axis_tdata,
    output logic                   m_axis_tvalid,
    input  wire                    m_axis_tready,
    output logic                   m_axis_first,  // with a beat: it is its frame's first
    output logic                   m_axis_last,   // with a beat: it is its frame's last
    output logic                   m_axis_end,    // with a beat: it is its packet's last
    output logic                   fault_last,
    output logic                   fault_keep
);
  localparam int HELD = OUT_BYTES + IN_BYTES - 1;  // bytes that wait to become beats, at most
  localparam int CW = $clog2(HELD + 1);
  localparam int BW = $clog2(BEATS) > 0 ? $clog2(BEATS) : 1;
  // Words are loaded when less than a beat is left: nothing, if words are made of whole beats.
  localparam bit WHOLE = IN_BYTES % OUT_BYTES == 0;

  if (IN_BYTES < 1 || OUT_BYTES < 1 || BEATS < 1) begin : g_check
    $error("bx_unpack: IN_BYTES, OUT_BYTES and BEATS must be at least 1");
  end

  // --- words: how many bytes they have, and whether TKEEP is one run from the low byte on ---------------
  // a run of ones from the low bit on, plus one, has no bit in common with it
  wire gap = |(s_axis_tkeep & (s_axis_tkeep + 1'b1)) || !s_axis_tkeep[0];
  wire short_word = !(&s_axis_tkeep) && !s_axis_tlast;
  wire fault = fault_last || fault_keep;

  wire [CW-1:0] bytes = CW'($countones(s_axis_tkeep));

  logic [8*IN_BYTES-1:0] word;
  logic [CW-1:0] word_bytes;
  logic word_last, word_bad, word_valid, word_ready;
  bx_fifo #(
      .W(8 * IN_BYTES + CW + 2),
      .DEPTH(2)
  ) words (
      .clk(clk),
      .rst_n(rst_n),
      .s_axis_tdata({s_axis_tdata, bytes, s_axis_tlast, gap || short_word}),
      .s_axis_tvalid(s_axis_tvalid),
      .s_axis_tready(s_axis_tready),
      .m_axis_tdata({word, word_bytes, word_last, word_bad}),
      .m_axis_tvalid(word_valid),
      .m_axis_tready(word_ready)
  );

  // --- beats ----------------------------------------------------------------------------------------------
  logic [8*HELD-1:0] held;
  logic [CW-1:0] count;  // bytes in `held`
  logic ending;          // the packet's last word has been loaded
  logic [BW-1:0] beat;   // in the frame

  assign m_axis_tdata = held[8*OUT_BYTES-1:0];
  assign m_axis_tvalid = count >= CW'(OUT_BYTES) && !fault;
  assign m_axis_first = beat == '0;
  assign m_axis_last = beat == BW'(BEATS - 1);
  assign m_axis_end = ending && count == CW'(OUT_BYTES) && m_axis_last;

  wire take = m_axis_tvalid && m_axis_tready;
  wire [CW-1:0] rest = take ? count - CW'(OUT_BYTES) : count;
  wire room = rest < CW'(OUT_BYTES) && (!ending || rest == '0);
  assign word_ready = room || fault;
  wire load = room && word_valid && !word_bad && !fault;

  wire [8*HELD-1:0] kept = take ? held >> (8 * OUT_BYTES) : held;
  logic [8*HELD-1:0] loaded;
  if (WHOLE) begin : g_whole
    assign loaded = (8 * HELD)'(word);
  end else begin : g_any
    // with nothing left of the words before, what TKEEP has left out of them is left out
    assign loaded = (8 * HELD)'(word) << {rest, 3'd0} | (rest == '0 ? '0 : kept);
  end
  // The packet ends here, and its frame doesn't: bytes are left that make no beat, or the beat isn't a frame's last.
  wire cut = ending && ((rest != '0 && rest < CW'(OUT_BYTES)) || (take && rest == '0 && !m_axis_last));

  always_ff @(posedge clk) begin
    if (take || load) held <= load ? loaded : kept;
  end

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      count <= '0;
      ending <= 1'b0;
      beat <= '0;
      fault_last <= 1'b0;
      fault_keep <= 1'b0;
    end else begin
      if (load) count <= rest + word_bytes;
      else count <= rest;
      if (load) ending <= word_last;
      else if (rest == '0) ending <= 1'b0;
      if (take) beat <= m_axis_last ? '0 : beat + 1'b1;
      if (cut) fault_last <= 1'b1;
      if (room && word_valid && word_bad && !cut && !fault) fault_keep <= 1'b1;
    end
  end
endmodule
`default_nettype wire
