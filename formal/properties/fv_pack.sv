// bx_pack: every byte comes out in its place, words are full but for a packet's last, and packets end where they did.
`default_nettype none
module fv_pack #(
    parameter int IN_BYTES  = 1,
    parameter int OUT_BYTES = 2,
    parameter int CW        = 4  // 2^CW is more than the bytes that the cell can hold
) (
    input wire                  clk,
    input wire                  rst_n,
    input wire [8*IN_BYTES-1:0] s_axis_tdata,
    input wire                  s_axis_tlast,
    input wire                  s_axis_tvalid,
    input wire                  m_axis_tready,
    input wire [        CW-1:0] pick_byte,
    input wire [           2:0] pick_bit
);
  wire s_axis_tready, m_axis_tvalid, m_axis_tlast;
  wire [8*OUT_BYTES-1:0] m_axis_tdata;
  wire [OUT_BYTES-1:0] m_axis_tkeep;
  bx_pack #(.IN_BYTES(IN_BYTES), .OUT_BYTES(OUT_BYTES)) dut (.*);

  fv_run run (.*);
  wire [1:0] unused_frames, unused_words;
  wire unused_beat, unused_word;
  fv_stream #(.W(8 * IN_BYTES + 1), .ASSUMED(1), .STREAK(0), .WAITS(0)) source (
      .clk, .rst_n, .tdata({s_axis_tdata, s_axis_tlast}), .tvalid(s_axis_tvalid), .tready(s_axis_tready),
      .beat(unused_beat), .frame(unused_frames)
  );
  fv_stream #(.W(9 * OUT_BYTES + 1), .STREAK(0)) sink (
      .clk, .rst_n, .tdata({m_axis_tdata, m_axis_tkeep, m_axis_tlast}), .tvalid(m_axis_tvalid), .tready(m_axis_tready),
      .beat(unused_word), .frame(unused_words)
  );
  wire goes_in = s_axis_tvalid && s_axis_tready;
  wire goes_out = m_axis_tvalid && m_axis_tready;

  logic [CW-1:0] kept;
  always_comb begin
    kept = '0;
    for (int i = 0; i < OUT_BYTES; i++) kept = kept + CW'(m_axis_tkeep[i]);
  end
  always_comb if (rst_n && m_axis_tvalid) assert (m_axis_tkeep[0]);
  always_comb if (rst_n && m_axis_tvalid && !m_axis_tlast) assert (&m_axis_tkeep);
  for (genvar i = 1; i < OUT_BYTES; i++) begin : g_run
    always_comb if (rst_n && m_axis_tvalid && m_axis_tkeep[i]) assert (m_axis_tkeep[i-1]);
  end

  // -- any one bit of any one byte, and whether its packet ends with it
  logic [CW-1:0] put, got, byte_number;
  logic [2:0] bit_number;
  logic owes;  // a packet has ended whose last byte has not come out
  always_ff @(posedge clk) if (!rst_n) {byte_number, bit_number} <= {pick_byte, pick_bit};
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      put <= '0;
      got <= '0;
      owes <= 1'b0;
    end else begin
      if (goes_in) put <= put + CW'(IN_BYTES);
      if (goes_out) got <= got + kept;
      if (goes_in) owes <= s_axis_tlast;
    end
  end
  wire [CW-1:0] in_place = byte_number - put;
  wire [CW-1:0] out_place = byte_number - got;
  wire [8*IN_BYTES-1:0] in_shifted = s_axis_tdata >> {in_place, bit_number};
  wire [8*OUT_BYTES-1:0] out_shifted = m_axis_tdata >> {out_place, bit_number};
  wire offered = m_axis_tvalid && out_place < kept;
  wire known, ends, value;
  fv_expected #(.W(2)) one (
      .clk, .rst_n, .learn(goes_in && in_place < CW'(IN_BYTES)),
      .value({s_axis_tlast && in_place == CW'(IN_BYTES - 1), in_shifted[0]}), .offered,
      .taken(offered && m_axis_tready), .known, .expected({ends, value})
  );
  always_comb if (rst_n && offered) assert (out_shifted[0] == value);
  always_comb if (rst_n && offered) assert (ends == (m_axis_tlast && out_place == kept - 1'b1));

  always_comb cover (rst_n && goes_out && m_axis_tlast && !(&m_axis_tkeep));
  always_comb cover (rst_n && goes_out && m_axis_tlast && &m_axis_tkeep);
  fv_settles #(.LIMIT(4)) settles (
      .clk, .rst_n, .moves(goes_in || goes_out), .free(m_axis_tready),
      .at_rest(s_axis_tready && (owes ? put == got : put - got < CW'(OUT_BYTES)))
  );
endmodule
`default_nettype wire
