// Integers to signs: bit = (accumulator >= threshold) xor negate, with COPIES thresholds for each channel.
//
// COPIES = 1: a beat a cycle, straight through. COPIES > 1: the BEATS of a pixel go into one half of a two-pixel
// buffer and are replayed COPIES times, copy 0 first, one beat a cycle, while the next pixel fills the other
// half. A pixel's replay can start the cycle after its last beat came in; the half is free the cycle after the
// replay's last beat was read. Two register stages (buffer and threshold memory, comparison), frozen while an
// offered beat is not taken.
`default_nettype none
module bx_threshold #(
    parameter int PE         = 2,  // channels in a beat
    parameter int BEATS      = 2,  // beats of a pixel
    parameter int COPIES     = 2,  // thresholds a channel
    parameter int ACC_W      = 8,  // bits of an accumulator
    parameter int SIGNED     = 1,  // accumulators are two's complement
    parameter     THRESHOLDS = "thresholds.mem"  // word copy*BEATS + beat: PE times {negate, threshold}
) (
    input  wire                 clk,
    input  wire                 rst_n,
    input  wire  [PE*ACC_W-1:0] s_axis_tdata,
    input  wire                 s_axis_tvalid,
    output logic                s_axis_tready,
    output logic [PE-1:0]       m_axis_tdata,
    output logic                m_axis_tvalid,
    input  wire                 m_axis_tready
);
  localparam int WORDS = COPIES * BEATS;
  localparam int AW = $clog2(WORDS) > 0 ? $clog2(WORDS) : 1;
  localparam int FIELD_W = ACC_W + 1;

  if (PE < 1 || BEATS < 1 || COPIES < 1 || ACC_W < 1) begin : g_check
    $error("bx_threshold: sizes must be at least 1");
  end

  wire enable = !m_axis_tvalid || m_axis_tready;
  logic fire;  // a beat enters the pipeline
  logic [AW-1:0] at;  // word of that beat
  wire last = at == AW'(WORDS - 1);
  logic valid;
  logic [PE*ACC_W-1:0] values;
  logic [PE*FIELD_W-1:0] word;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      at <= '0;
      valid <= 1'b0;
      m_axis_tvalid <= 1'b0;
    end else if (enable) begin
      if (fire) at <= last ? '0 : at + 1'b1;
      valid <= fire;
      m_axis_tvalid <= valid;
    end
  end

  bx_rom #(
      .W(PE * FIELD_W), .WORDS(WORDS), .FILE(THRESHOLDS)
  ) rom (
      .clk(clk), .enable(enable), .address(at), .data(word)
  );

  if (COPIES == 1) begin : g_straight
    assign s_axis_tready = enable;
    assign fire = enable && s_axis_tvalid;
    always_ff @(posedge clk) if (enable) values <= s_axis_tdata;
  end else begin : g_replay
    localparam int BW = $clog2(2 * BEATS);
    logic [PE*ACC_W-1:0] buffer[0:2*BEATS-1];
    logic [BW-1:0] write_at, read_at;
    logic read_half;
    logic [1:0] filled;  // pixels held completely

    wire put = s_axis_tvalid && s_axis_tready;
    wire put_pixel = put && (write_at == BW'(BEATS - 1) || write_at == BW'(2 * BEATS - 1));
    wire end_copy = read_at == (read_half ? BW'(2 * BEATS - 1) : BW'(BEATS - 1));
    wire drop_pixel = fire && last;
    assign s_axis_tready = filled != 2'd2;
    assign fire = enable && filled != 2'd0;

    always_ff @(posedge clk) if (put) buffer[write_at] <= s_axis_tdata;
    always_ff @(posedge clk) if (enable) values <= buffer[read_at];
    always_ff @(posedge clk) begin
      if (!rst_n) begin
        write_at <= '0;
        read_at <= '0;
        read_half <= 1'b0;
        filled <= 2'd0;
      end else begin
        filled <= filled + 2'(put_pixel) - 2'(drop_pixel);
        if (put) write_at <= write_at == BW'(2 * BEATS - 1) ? '0 : write_at + 1'b1;
        if (drop_pixel) read_half <= !read_half;
        // after a copy back to the half's first beat, after the last copy to the other half's
        if (fire) read_at <= end_copy ? (read_half != last ? BW'(BEATS) : '0) : read_at + 1'b1;
      end
    end
  end

  for (genvar p = 0; p < PE; p++) begin : g_pe
    wire [ACC_W-1:0] value = values[p*ACC_W +: ACC_W];
    wire [ACC_W-1:0] threshold = word[p*FIELD_W +: ACC_W];
    wire negate = word[p*FIELD_W+ACC_W];
    logic reached;
    if (SIGNED != 0) begin : g_signed
      assign reached = $signed(value) >= $signed(threshold);
    end else begin : g_unsigned
      assign reached = value >= threshold;
    end
    always_ff @(posedge clk) if (enable) m_axis_tdata[p] <= reached ^ negate;
  end
endmodule
`default_nettype wire
