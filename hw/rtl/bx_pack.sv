// Joins the accelerator's beats to words of an AXI4-Stream with TKEEP; the first byte is the low one.
//
// Beats lie behind each other with nothing between them, also across frames; only where `s_axis_tlast` ends a packet,
// the word ends with it, and TKEEP tells which of its bytes there are. Two registers on the way. Takes a beat in every
// cycle if the words go fast enough and are as wide, and offers a word in every cycle if the beats are as wide.
`default_nettype none
module bx_pack #(
    parameter int IN_BYTES  = 1,  // bytes of a beat
    parameter int OUT_BYTES = 8   // bytes of a word
) (
    input  wire                    clk,
    input  wire                    rst_n,
    input  wire  [8*IN_BYTES-1:0]  s_axis_tdata,
    input  wire                    s_axis_tlast,
    input  wire                    s_axis_tvalid,
    output logic                   s_axis_tready,
    output logic [8*OUT_BYTES-1:0] m_axis_tdata,
    output logic [OUT_BYTES-1:0]   m_axis_tkeep,
    output logic                   m_axis_tlast,
    output logic                   m_axis_tvalid,
    input  wire                    m_axis_tready
);
  localparam int HELD = IN_BYTES + OUT_BYTES - 1;  // bytes that wait to become words, at most
  localparam int CW = $clog2(HELD + 1);
  // Beats are placed behind less than a word: behind nothing, if beats are made of whole words.
  localparam bit WHOLE = IN_BYTES % OUT_BYTES == 0;

  if (IN_BYTES < 1 || OUT_BYTES < 1) begin : g_check
    $error("bx_pack: IN_BYTES and OUT_BYTES must be at least 1");
  end

  logic [8*HELD-1:0] held;
  logic [CW-1:0] count;  // bytes in `held`
  logic ending;          // the packet's last beat is in it

  wire full = count >= CW'(OUT_BYTES);
  wire final_word = ending && count <= CW'(OUT_BYTES);
  wire offer = full || (ending && count != '0);
  wire room;
  wire give = offer && room;
  wire [CW-1:0] rest = !give ? count : full ? count - CW'(OUT_BYTES) : '0;
  assign s_axis_tready = rest < CW'(OUT_BYTES) && (!ending || rest == '0);
  wire take = s_axis_tvalid && s_axis_tready;

  wire [8*HELD-1:0] kept = give ? held >> (8 * OUT_BYTES) : held;
  logic [8*HELD-1:0] loaded;
  if (WHOLE) begin : g_whole
    assign loaded = (8 * HELD)'(s_axis_tdata);
  end else begin : g_any
    assign loaded = (8 * HELD)'(s_axis_tdata) << {rest, 3'd0} | (rest == '0 ? '0 : kept);
  end

  always_ff @(posedge clk) begin
    if (give || take) held <= take ? loaded : kept;
  end
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      count <= '0;
      ending <= 1'b0;
    end else begin
      count <= take ? rest + CW'(IN_BYTES) : rest;
      if (take) ending <= s_axis_tlast;
      else if (rest == '0) ending <= 1'b0;
    end
  end

  logic [OUT_BYTES-1:0] keep;
  always_comb for (int i = 0; i < OUT_BYTES; i++) keep[i] = count > CW'(i);

  bx_fifo #(
      .W(9 * OUT_BYTES + 1),
      .DEPTH(2)
  ) words (
      .clk(clk),
      .rst_n(rst_n),
      .s_axis_tdata({held[8*OUT_BYTES-1:0], keep, final_word}),
      .s_axis_tvalid(offer),
      .s_axis_tready(room),
      .m_axis_tdata({m_axis_tdata, m_axis_tkeep, m_axis_tlast}),
      .m_axis_tvalid(m_axis_tvalid),
      .m_axis_tready(m_axis_tready)
  );
endmodule
`default_nettype wire
