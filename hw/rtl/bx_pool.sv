// Maximum (OR on bits) or sum over tiles of KH x KW pixels; rows and columns that fill no tile are left out.
//
// A line keeps the results so far of a row of tiles, a word each, read and written in the same cycle. The last
// tap of a tile goes to the output register instead. One word is taken a cycle without a bubble between pixels,
// rows or frames; a result is offered in the cycle after its last word. All freezes while an offered result is not
// taken.
`default_nettype none
module bx_pool #(
    parameter int PE      = 2,  // elements of a word
    parameter int IN_W    = 4,  // bits of an input element
    parameter int OUT_W   = 4,  // bits of an output element; those of the input for a maximum
    parameter int HEIGHT  = 5,  // rows of a frame
    parameter int WIDTH   = 5,  // pixels of a row
    parameter int WORDS   = 2,  // words of a pixel
    parameter int KH      = 2,  // kernel
    parameter int KW      = 2,
    parameter int SUM     = 0,  // sum instead of maximum
    parameter int BIPOLAR = 0,  // elements are bits: 1 = +1, 0 = -1
    parameter int SIGNED  = 1   // elements are two's complement
) (
    input  wire                 clk,
    input  wire                 rst_n,
    input  wire  [PE*IN_W-1:0]  s_axis_tdata,
    input  wire                 s_axis_tvalid,
    output logic                s_axis_tready,
    output logic [PE*OUT_W-1:0] m_axis_tdata,
    output logic                m_axis_tvalid,
    input  wire                 m_axis_tready
);
  localparam int OH = HEIGHT / KH;
  localparam int OW = WIDTH / KW;
  localparam int DEPTH = (KH > 1 ? OW : 1) * WORDS;  // with one kernel row a tile ends before the next begins
  localparam int WW = $clog2(WORDS) > 0 ? $clog2(WORDS) : 1;
  localparam int KXW = $clog2(KW) > 0 ? $clog2(KW) : 1;
  localparam int KYW = $clog2(KH) > 0 ? $clog2(KH) : 1;
  localparam int XW = $clog2(WIDTH) > 0 ? $clog2(WIDTH) : 1;
  localparam int YW = $clog2(HEIGHT) > 0 ? $clog2(HEIGHT) : 1;
  localparam int AW = $clog2(DEPTH) > 0 ? $clog2(DEPTH) : 1;
  localparam bit EXTEND = SIGNED != 0;

  if (PE < 1 || IN_W < 1 || WORDS < 1 || KH < 1 || KW < 1 || OH < 1 || OW < 1) begin : g_check_sizes
    $error("bx_pool: sizes must be at least 1 and the kernel must fit the frame");
  end
  if (SUM != 0 ? OUT_W < IN_W : OUT_W != IN_W) begin : g_check_width
    $error("bx_pool: a maximum has the width of its input, a sum at least that");
  end
  if (BIPOLAR != 0 && (IN_W != 1 || SIGNED != 0)) begin : g_check_bipolar
    $error("bx_pool: bipolar elements are 1 bit");
  end

  // -- place in the frame
  logic [WW-1:0] word;
  logic [XW-1:0] x;
  logic [YW-1:0] y;
  logic [KXW-1:0] kx;
  logic [KYW-1:0] ky;
  logic [AW-1:0] at;        // place in the line
  logic right, below;       // beyond the last tile
  wire end_pixel = word == WW'(WORDS - 1);
  wire end_row = end_pixel && x == XW'(WIDTH - 1);
  wire end_frame = end_row && y == YW'(HEIGHT - 1);
  wire last_kx = kx == KXW'(KW - 1);
  wire last_ky = ky == KYW'(KH - 1);
  wire first = kx == '0 && ky == '0;
  wire last = last_kx && last_ky;

  wire enable = !m_axis_tvalid || m_axis_tready;
  wire take = enable && s_axis_tvalid;
  wire whole = !right && !below;
  assign s_axis_tready = enable;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      word <= '0;
      x <= '0;
      y <= '0;
      kx <= '0;
      ky <= '0;
      at <= '0;
      right <= 1'b0;
      below <= 1'b0;
      m_axis_tvalid <= 1'b0;
    end else if (enable) begin
      m_axis_tvalid <= take && whole && last;
      if (take) begin
        word <= end_pixel ? '0 : word + 1'b1;
        if (end_pixel) begin
          x <= end_row ? '0 : x + 1'b1;
          kx <= end_row || last_kx ? '0 : kx + 1'b1;
          right <= !end_row && (right || x == XW'(OW * KW - 1));
        end
        if (end_row) begin
          y <= end_frame ? '0 : y + 1'b1;
          ky <= end_frame || last_ky ? '0 : ky + 1'b1;
          below <= !end_frame && (below || y == YW'(OH * KH - 1));
        end
        if (end_row || (end_pixel && last_kx && KH == 1)) at <= '0;
        else if (end_pixel && !last_kx) at <= at - AW'(WORDS - 1);
        else at <= at + 1'b1;
      end
    end
  end

  // -- results
  wire [PE*OUT_W-1:0] sofar, result;
  for (genvar p = 0; p < PE; p++) begin : g_element
    wire [IN_W-1:0] code = s_axis_tdata[p*IN_W +: IN_W];
    wire [OUT_W-1:0] old = sofar[p*OUT_W +: OUT_W];
    if (SUM != 0) begin : g_sum
      wire [OUT_W-1:0] value;
      if (BIPOLAR != 0) begin : g_bipolar
        assign value = code[0] ? OUT_W'(1) : '1;
      end else if (OUT_W > IN_W) begin : g_wider
        assign value = {{OUT_W - IN_W{EXTEND && code[IN_W-1]}}, code};
      end else begin : g_same
        assign value = code;
      end
      assign result[p*OUT_W +: OUT_W] = (first ? '0 : old) + value;
    end else begin : g_max
      // two's complement compares like unsigned with the sign inverted
      localparam logic [IN_W-1:0] SIGN = IN_W'(EXTEND) << (IN_W - 1);
      wire larger = (code ^ SIGN) > (old ^ SIGN);
      assign result[p*OUT_W +: OUT_W] = first || larger ? code : old;
    end
  end

  if (KH * KW > 1) begin : g_line
    logic [PE*OUT_W-1:0] line[0:DEPTH-1];
    assign sofar = line[at];
    always_ff @(posedge clk) if (take && whole && !last) line[at] <= result;
  end else begin : g_single
    assign sofar = '0;
  end

  always_ff @(posedge clk) if (take) m_axis_tdata <= result;
endmodule
`default_nettype wire
