// Maximum (OR on bits) or sum over the TAPS taps of a window, for each of its channels.
//
// A line keeps the results so far of a window, WORDS words, read and written in the same cycle. The last tap goes to
// the output register instead. One word is taken a cycle without a bubble between windows or frames; a result is
// offered in the cycle after its last word. All freezes while an offered result is not taken.
//
// Padding of a MASKED stream adds 0 to a sum, and is the bit 0 to a maximum, which changes no OR.
`default_nettype none
module bx_window_pool #(
    parameter int PE      = 2,  // elements of a word
    parameter int IN_W    = 4,  // bits of an input element
    parameter int OUT_W   = 4,  // bits of an output element; those of the input for a maximum
    parameter int WORDS   = 2,  // words of a tap
    parameter int TAPS    = 9,  // taps of a window
    parameter int SUM     = 0,  // sum instead of maximum
    parameter int BIPOLAR = 0,  // elements are bits: 1 = +1, 0 = -1
    parameter int SIGNED  = 1,  // elements are two's complement
    parameter int MASKED  = 0   // a bit above each word is 0 on padding
) (
    input  wire                       clk,
    input  wire                       rst_n,
    input  wire  [PE*IN_W+MASKED-1:0] s_axis_tdata,
    input  wire                       s_axis_tvalid,
    output logic                      s_axis_tready,
    output logic [PE*OUT_W-1:0]       m_axis_tdata,
    output logic                      m_axis_tvalid,
    input  wire                       m_axis_tready
);
  localparam int WW = $clog2(WORDS) > 0 ? $clog2(WORDS) : 1;
  localparam int TW = $clog2(TAPS) > 0 ? $clog2(TAPS) : 1;
  localparam bit EXTEND = SIGNED != 0;

  if (PE < 1 || IN_W < 1 || WORDS < 1 || TAPS < 1) begin : g_check_sizes
    $error("bx_window_pool: sizes must be at least 1");
  end
  if (SUM != 0 ? OUT_W < IN_W : OUT_W != IN_W) begin : g_check_width
    $error("bx_window_pool: a maximum has the width of its input, a sum at least that");
  end
  if (BIPOLAR != 0 ? IN_W != 1 || SIGNED != 0 : MASKED != 0) begin : g_check_bipolar
    $error("bx_window_pool: bipolar elements are 1 bit; only they can be MASKED");
  end
  if (MASKED != 0 && MASKED != 1) begin : g_check_masked
    $error("bx_window_pool: MASKED must be 0 or 1");
  end

  // -- place in the window
  logic [WW-1:0] word;
  logic [TW-1:0] tap;
  wire end_tap = word == WW'(WORDS - 1);
  wire first = tap == '0;
  wire last = tap == TW'(TAPS - 1);

  wire enable = !m_axis_tvalid || m_axis_tready;
  wire take = enable && s_axis_tvalid;
  assign s_axis_tready = enable;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      word <= '0;
      tap <= '0;
      m_axis_tvalid <= 1'b0;
    end else if (enable) begin
      m_axis_tvalid <= take && last;
      if (take) begin
        word <= end_tap ? '0 : word + 1'b1;
        if (end_tap) tap <= last ? '0 : tap + 1'b1;
      end
    end
  end

  // -- results
  wire [PE*OUT_W-1:0] sofar, result;
  wire present;
  if (MASKED != 0) begin : g_masked
    assign present = s_axis_tdata[PE*IN_W+MASKED-1];
  end else begin : g_unmasked
    assign present = 1'b1;
  end

  for (genvar p = 0; p < PE; p++) begin : g_element
    wire [IN_W-1:0] code = s_axis_tdata[p*IN_W +: IN_W];
    wire [OUT_W-1:0] old = sofar[p*OUT_W +: OUT_W];
    wire [OUT_W-1:0] number;
    if (SUM != 0 && BIPOLAR != 0) begin : g_sign
      assign number = code[0] ? OUT_W'(1) : '1;
    end else if (OUT_W > IN_W) begin : g_wider
      assign number = {{OUT_W - IN_W{EXTEND && code[IN_W-1]}}, code};
    end else begin : g_same
      assign number = code;
    end
    wire [OUT_W-1:0] value = present ? number : '0;
    if (SUM != 0) begin : g_sum
      assign result[p*OUT_W +: OUT_W] = (first ? '0 : old) + value;
    end else begin : g_max
      // two's complement compares like unsigned with the sign inverted
      localparam logic [OUT_W-1:0] SIGN = OUT_W'(EXTEND) << (OUT_W - 1);
      wire larger = (value ^ SIGN) > (old ^ SIGN);
      assign result[p*OUT_W +: OUT_W] = first || larger ? value : old;
    end
  end

  if (TAPS > 1) begin : g_line
    logic [PE*OUT_W-1:0] line[0:WORDS-1];
    assign sofar = line[word];
    always_ff @(posedge clk) if (take && !last) line[word] <= result;
  end else begin : g_single
    assign sofar = '0;
  end

  always_ff @(posedge clk) if (take) m_axis_tdata <= result;
endmodule
`default_nettype wire
