// Windows of a convolution from a ring of ROWS rows; order [pixel][group][kernel row][kernel column][word].
//
// The writer fills ring rows one after the other, those of the next frame too, while not all of them are held.
// The reader begins an output row when the rows it reads are complete (the frame's last output row: all rows of
// the frame), and frees the rows that no later one reads together with its last word. A row completed in cycle t
// is read from t+1 on; a row freed in t is written from t+1 on.
//
// One word in and one word out in every cycle, no bubble between pixels, rows or frames while rows are there. A
// word is offered 2 cycles after it is addressed: memory, output register. The reader's stages freeze while an
// offered word is not taken; the writer does not. Every element of a padded word has the code {PAD_HIGH, PAD}; a
// bit above each word tells which are padded if MASKED.
`default_nettype none
module bx_sliding_window #(
    parameter int SIMD       = 2,  // elements of a word
    parameter int BITS       = 1,  // bits of an element
    parameter int HEIGHT     = 4,  // rows of a frame
    parameter int WIDTH      = 5,  // pixels of a row
    parameter int WORDS      = 2,  // words of a pixel
    parameter int GROUPS     = 1,  // groups of a pixel's words
    parameter int KH         = 3,  // kernel
    parameter int KW         = 3,
    parameter int SH         = 1,  // stride
    parameter int SW         = 1,
    parameter int DH         = 1,  // dilation
    parameter int DW         = 1,
    parameter int PAD_TOP    = 1,
    parameter int PAD_LEFT   = 1,
    parameter int PAD_BOTTOM = 1,
    parameter int PAD_RIGHT  = 1,
    parameter int MASKED     = 1,  // offer a bit above each word that is 0 on padding
    parameter int ROWS       = 4,  // rows of the ring
    parameter int PAD        = 0,  // low 24 bits of the code of a padded element
    parameter int PAD_HIGH   = 0   // the bits above them
) (
    input  wire                         clk,
    input  wire                         rst_n,
    input  wire  [SIMD*BITS-1:0]        s_axis_tdata,
    input  wire                         s_axis_tvalid,
    output logic                        s_axis_tready,
    output logic [SIMD*BITS+MASKED-1:0] m_axis_tdata,
    output logic                        m_axis_tvalid,
    input  wire                         m_axis_tready
);
  localparam int TAP = WORDS / GROUPS;  // words of a tap
  localparam int LINE = WIDTH * WORDS;  // words of a row
  localparam int DEPTH = ROWS * LINE;
  localparam int EH = (KH - 1) * DH + 1;  // rows and columns that the kernel spans
  localparam int EW = (KW - 1) * DW + 1;
  localparam int REACH = EH > SH ? EH : SH;
  localparam int OH = (HEIGHT + PAD_TOP + PAD_BOTTOM - EH) / SH + 1;
  localparam int OW = (WIDTH + PAD_LEFT + PAD_RIGHT - EW) / SW + 1;
  localparam int PADS = PAD_TOP + PAD_LEFT + PAD_BOTTOM + PAD_RIGHT;
  localparam logic [47:0] PAD_CODE = {24'(PAD_HIGH), 24'(PAD)};
  localparam logic [SIMD*BITS-1:0] PADDED = {SIMD{BITS'(PAD_CODE)}};
  localparam int AW = $clog2(DEPTH) > 0 ? $clog2(DEPTH) : 1;
  localparam int LW = $clog2(LINE) > 0 ? $clog2(LINE) : 1;
  localparam int HW = $clog2(ROWS + 1);
  localparam int TW = $clog2(TAP) > 0 ? $clog2(TAP) : 1;
  localparam int KXW = $clog2(KW) > 0 ? $clog2(KW) : 1;
  localparam int KYW = $clog2(KH) > 0 ? $clog2(KH) : 1;
  localparam int GW = $clog2(GROUPS) > 0 ? $clog2(GROUPS) : 1;
  localparam int OXW = $clog2(OW) > 0 ? $clog2(OW) : 1;
  localparam int OYW = $clog2(OH) > 0 ? $clog2(OH) : 1;

  // First row of the frame that output row o still reads; all are gone after the last one.
  function automatic int first_row(input int o);
    if (o >= OH || o * SH - PAD_TOP > HEIGHT) first_row = HEIGHT;
    else first_row = o * SH > PAD_TOP ? o * SH - PAD_TOP : 0;
  endfunction

  // Rows that output row o holds while it reads (freed = 0), and rows that it frees (freed = 1).
  function automatic int row_count(input int o, input int freed);
    int upto;
    upto = o * SH - PAD_TOP + REACH;
    if (upto < 1) upto = 1;  // padding alone does not begin a frame
    if (upto > HEIGHT || o == OH - 1) upto = HEIGHT;
    row_count = (freed != 0 ? first_row(o + 1) : upto) - first_row(o);
  endfunction

  function automatic int most_rows(input int unused);
    most_rows = unused;
    for (int o = 0; o < OH; o++) if (row_count(o, 0) > most_rows) most_rows = row_count(o, 0);
  endfunction

  function automatic logic [OH*HW-1:0] row_table(input int freed);
    for (int o = 0; o < OH; o++) row_table[o*HW +: HW] = HW'(row_count(o, freed));
  endfunction

  localparam logic [OH*HW-1:0] HELD = row_table(0);
  localparam logic [OH*HW-1:0] FREED = row_table(1);

  if (SIMD < 1 || BITS < 1 || HEIGHT < 1 || WIDTH < 1 || TAP < 1 || TAP * GROUPS != WORDS) begin : g_check_sizes
    $error("bx_sliding_window: sizes must be at least 1 and GROUPS must divide WORDS");
  end
  if (KH < 1 || KW < 1 || SH < 1 || SW < 1 || DH < 1 || DW < 1 || PADS < 0 || OH < 1 || OW < 1) begin : g_check_kernel
    $error("bx_sliding_window: the kernel must fit the padded frame");
  end
  if (MASKED != 0 && (MASKED != 1 || BITS != 1 || PADS == 0)) begin : g_check_masked
    $error("bx_sliding_window: only bits with padding can be MASKED");
  end
  if (PAD >> 24 != 0 || PAD_HIGH >> 24 != 0 || PAD_CODE >> BITS != '0 || (MASKED != 0 && PAD != 0)) begin : g_check_pad
    $error("bx_sliding_window: PAD must be the code of an element, 0 if MASKED");
  end
  if (ROWS < 1 || ROWS < most_rows(0)) begin : g_check_rows
    $error("bx_sliding_window: ROWS is less than what one output row reads");
  end

  logic [SIMD*BITS-1:0] memory[0:DEPTH-1];
  logic [HW-1:0] held;  // complete rows that are not free yet

  // -- writer
  logic [AW-1:0] write_at;
  logic [LW-1:0] write_word;
  wire put = s_axis_tvalid && s_axis_tready;
  wire row_done = put && write_word == LW'(LINE - 1);
  always_ff @(posedge clk) if (put) memory[write_at] <= s_axis_tdata;

  // -- reader: where it is
  logic [TW-1:0] word;
  logic [KXW-1:0] kx;
  logic [KYW-1:0] ky;
  logic [GW-1:0] group;
  logic [OXW-1:0] ox;
  logic [OYW-1:0] oy;
  logic row_begins;
  wire end_tap = word == TW'(TAP - 1);
  wire end_line = end_tap && kx == KXW'(KW - 1);
  wire end_tile = end_line && ky == KYW'(KH - 1);
  wire end_pixel = end_tile && group == GW'(GROUPS - 1);
  wire end_row = end_pixel && ox == OXW'(OW - 1);
  wire end_frame = end_row && oy == OYW'(OH - 1);

  wire enable = !m_axis_tvalid || m_axis_tready;
  wire fire = enable && (!row_begins || held >= HELD[oy*HW +: HW]);
  wire [HW-1:0] freed = fire && end_row ? FREED[oy*HW +: HW] : '0;
  wire [HW-1:0] held_next = held + HW'(row_done) - freed;

  // -- reader: the address is that of the ring row plus the place in the row. Places are kept modulo 2^AW, those of
  // padding too, so that each is a step away from the one before; ring rows are kept modulo ROWS.
  localparam logic [AW-1:0] COLUMN_0 = AW'(-PAD_LEFT * WORDS);
  localparam logic [AW-1:0] TO_TAP = AW'(DW * WORDS - (TAP - 1));
  localparam logic [AW-1:0] TO_LINE = AW'(-((KW - 1) * DW * WORDS + TAP - 1));
  localparam logic [AW-1:0] TO_GROUP = AW'(1 - (KW - 1) * DW * WORDS);
  localparam logic [AW-1:0] TO_PIXEL = AW'((SW - (KW - 1) * DW - 1) * WORDS + 1);
  localparam int ROW_0 = (ROWS - PAD_TOP % ROWS) % ROWS;
  localparam int DOWN_FRAME = ((HEIGHT - (OH - 1) * SH) % ROWS + ROWS) % ROWS;
  localparam logic [AW-1:0] TO_FRAME = AW'(DOWN_FRAME * LINE);
  localparam logic [AW-1:0] TO_ROW = AW'((SH % ROWS) * LINE);
  localparam logic [AW-1:0] TO_KY = AW'((DH % ROWS) * LINE);

  function automatic logic [AW-1:0] down(input logic [AW-1:0] row, input logic [AW-1:0] by);
    logic [AW:0] sum;
    sum = {1'b0, row} + {1'b0, by};
    if (sum >= (AW + 1)'(DEPTH)) sum = sum - (AW + 1)'(DEPTH);
    down = sum[AW-1:0];
  endfunction

  logic [AW-1:0] column, ring_row, top_row;  // top_row: of the kernel's first row
  wire [AW-1:0] column_step =
      end_pixel ? TO_PIXEL : end_tile ? TO_GROUP : end_line ? TO_LINE : end_tap ? TO_TAP : AW'(1);
  wire [AW-1:0] next_top = down(top_row, end_frame ? TO_FRAME : TO_ROW);
  wire [AW-1:0] address = ring_row + column;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      write_at <= '0;
      write_word <= '0;
      held <= '0;
      s_axis_tready <= 1'b0;
      word <= '0;
      kx <= '0;
      ky <= '0;
      group <= '0;
      ox <= '0;
      oy <= '0;
      row_begins <= 1'b1;
      column <= COLUMN_0;
      ring_row <= AW'(ROW_0 * LINE);
      top_row <= AW'(ROW_0 * LINE);
    end else begin
      if (put) begin
        write_at <= write_at == AW'(DEPTH - 1) ? '0 : write_at + 1'b1;
        write_word <= row_done ? '0 : write_word + 1'b1;
      end
      held <= held_next;
      s_axis_tready <= held_next != HW'(ROWS);
      if (fire) begin
        word <= end_tap ? '0 : word + 1'b1;
        if (end_tap) kx <= end_line ? '0 : kx + 1'b1;
        if (end_line) ky <= end_tile ? '0 : ky + 1'b1;
        if (end_tile) group <= end_pixel ? '0 : group + 1'b1;
        if (end_pixel) ox <= end_row ? '0 : ox + 1'b1;
        if (end_row) oy <= end_frame ? '0 : oy + 1'b1;
        row_begins <= end_row;
        column <= end_row ? COLUMN_0 : column + column_step;
        if (end_row) top_row <= next_top;
        if (end_line) ring_row <= end_row ? next_top : end_tile ? top_row : down(ring_row, TO_KY);
      end
    end
  end

  // -- the word: memory, then output register
  logic [SIMD*BITS-1:0] fetched;
  logic fetched_valid, present;
  always_ff @(posedge clk) if (fire) fetched <= memory[address];

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      fetched_valid <= 1'b0;
      m_axis_tvalid <= 1'b0;
    end else if (enable) begin
      fetched_valid <= fire;
      m_axis_tvalid <= fetched_valid;
    end
  end

  always_ff @(posedge clk) begin
    if (enable) m_axis_tdata[SIMD*BITS-1:0] <= present ? fetched : PADDED;
  end
  if (MASKED != 0) begin : g_mask
    always_ff @(posedge clk) if (enable) m_axis_tdata[SIMD*BITS] <= present;
  end

  if (PADS != 0) begin : g_padding
    // The tap's place in the frame; what is before it counts as far behind it.
    localparam int XW = $clog2(WIDTH + PAD_LEFT + PAD_RIGHT + 1);
    localparam int YW = $clog2(HEIGHT + PAD_TOP + PAD_BOTTOM + 1);
    logic [XW-1:0] x;
    logic [YW-1:0] y;
    always_ff @(posedge clk) begin
      if (!rst_n) begin
        x <= XW'(-PAD_LEFT);
        y <= YW'(-PAD_TOP);
      end else if (fire) begin
        if (end_row) x <= XW'(-PAD_LEFT);
        else if (end_pixel) x <= x + XW'(SW - (KW - 1) * DW);
        else if (end_line) x <= x + XW'(-(KW - 1) * DW);
        else if (end_tap) x <= x + XW'(DW);
        if (end_frame) y <= YW'(-PAD_TOP);
        else if (end_row) y <= y + YW'(SH - (KH - 1) * DH);
        else if (end_tile) y <= y + YW'(-(KH - 1) * DH);
        else if (end_line) y <= y + YW'(DH);
      end
      if (fire) present <= x < XW'(WIDTH) && y < YW'(HEIGHT);
    end
  end else begin : g_no_padding
    assign present = 1'b1;
  end
endmodule
`default_nettype wire
