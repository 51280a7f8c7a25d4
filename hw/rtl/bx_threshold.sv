// Integers to levels: how many of a channel's thresholds are reached, plus OFFSET, with COPIES sets for each channel.
//
// Binary search from the top bit down: bit = (accumulator >= threshold) xor flip, where the word of a stage is that of
// the beat joined with the channel's bits found so far. Signs are the search of one bit. A falling channel's bits are
// inverted by flip and by the order of its words.
//
// COPIES = 1: a beat a cycle, straight through. COPIES > 1: the BEATS of a pixel go into one half of a two-pixel
// buffer and are replayed COPIES times, copy 0 first, one beat a cycle, while the next pixel fills the other
// half. A pixel's replay can start the cycle after its last beat came in; the half is free the cycle after the
// replay's last beat was read. Two register stages a bit (buffer and threshold memory, comparison), frozen while an
// offered beat is not taken.
`default_nettype none
module bx_threshold #(
    parameter int PE         = 2,  // channels in a beat
    parameter int BEATS      = 2,  // beats of a pixel
    parameter int COPIES     = 2,  // sets of thresholds
    parameter int ACC_W      = 8,  // bits of an accumulator
    parameter int SIGNED     = 1,  // accumulators are two's complement
    parameter int BITS       = 2,  // bits of the search
    parameter int OUT_W      = 3,  // bits of a result
    parameter int OFFSET     = -1, // added to the bits found
    // word copy*BEATS + beat, times 2^s, plus the s bits found: PE times {flip, threshold}; one file for each of BITS
    parameter THRESHOLDS   = "thresholds.mem",
    parameter THRESHOLDS_1 = "thresholds_1.mem",
    parameter THRESHOLDS_2 = "",
    parameter THRESHOLDS_3 = "",
    parameter THRESHOLDS_4 = "",
    parameter THRESHOLDS_5 = "",
    parameter THRESHOLDS_6 = "",
    parameter THRESHOLDS_7 = ""
) (
    input  wire                 clk,
    input  wire                 rst_n,
    input  wire  [PE*ACC_W-1:0] s_axis_tdata,
    input  wire                 s_axis_tvalid,
    output logic                s_axis_tready,
    output logic [PE*OUT_W-1:0] m_axis_tdata,
    output logic                m_axis_tvalid,
    input  wire                 m_axis_tready
);
  localparam int WORDS = COPIES * BEATS;
  localparam int AW = $clog2(WORDS) > 0 ? $clog2(WORDS) : 1;
  localparam int FIELD_W = ACC_W + 1;
  localparam int FILES = 1 + 32'(THRESHOLDS_1 != "") + 32'(THRESHOLDS_2 != "") + 32'(THRESHOLDS_3 != "")
      + 32'(THRESHOLDS_4 != "") + 32'(THRESHOLDS_5 != "") + 32'(THRESHOLDS_6 != "") + 32'(THRESHOLDS_7 != "");

  if (PE < 1 || BEATS < 1 || COPIES < 1 || ACC_W < 1) begin : g_check
    $error("bx_threshold: sizes must be at least 1");
  end
  if (BITS < 1 || BITS > 8 || OUT_W < BITS || FILES < BITS) begin : g_check_bits
    $error("bx_threshold: BITS must be 1..8, OUT_W at least BITS, and each bit needs a file");
  end

  wire enable = !m_axis_tvalid || m_axis_tready;
  logic fire;  // a beat enters the pipeline
  logic [AW-1:0] at;  // word of that beat
  wire last = at == AW'(WORDS - 1);
  logic [2*BITS-2:0] valid;  // the register stages before the last
  logic [PE*ACC_W-1:0] values;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      at <= '0;
      valid <= '0;
      m_axis_tvalid <= 1'b0;
    end else if (enable) begin
      if (fire) at <= last ? '0 : at + 1'b1;
      valid <= (2 * BITS - 1)'({valid, fire});
      m_axis_tvalid <= valid[2*BITS-2];
    end
  end

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

  for (genvar s = 0; s < BITS; s++) begin : g_stage
    wire [AW-1:0] place;  // word of the beat whose memory is read
    wire [PE*ACC_W-1:0] value;  // one cycle later
    wire [PE*FIELD_W-1:0] data;
    wire [PE-1:0] bit_here;
    wire [PE*(s+1)-1:0] bits;  // found with this stage's

    for (genvar p = 0; p < PE; p++) begin : g_pe
      wire [ACC_W-1:0] accumulator = value[p*ACC_W +: ACC_W];
      wire [ACC_W-1:0] threshold = data[p*FIELD_W +: ACC_W];
      wire flip = data[p*FIELD_W+ACC_W];
      bx_at_least #(
          .W(ACC_W), .SIGNED(SIGNED)
      ) compare (
          .a(accumulator), .b(threshold), .flip(flip), .result(bit_here[p])
      );
    end

    if (s == 0) begin : g_first
      assign place = at;
      assign value = values;
      assign bits = bit_here;
      bx_rom #(
          .W(PE * FIELD_W), .WORDS(WORDS), .FILE(THRESHOLDS)
      ) rom (
          .clk(clk), .enable(enable), .address(place), .data(data)
      );
    end else begin : g_next
      localparam int DEPTH = WORDS << s;
      localparam int RW = $clog2(DEPTH);
      // of the beat in the stage before: as its word comes, and with its bit found; then as this stage's word comes
      logic [AW-1:0] place_0, place_1;
      logic [PE*ACC_W-1:0] value_1, value_2;
      logic [PE*s-1:0] found_1, found_2;
      wire [PE*RW-1:0] address;
      always_ff @(posedge clk) begin
        if (enable) begin
          place_0 <= g_stage[s-1].place;
          place_1 <= place_0;
          value_1 <= g_stage[s-1].value;
          value_2 <= value_1;
          found_1 <= g_stage[s-1].bits;
          found_2 <= found_1;
        end
      end
      assign place = place_1;
      assign value = value_2;
      for (genvar p = 0; p < PE; p++) begin : g_lane
        assign address[p*RW +: RW] = RW'({place, found_1[p*s +: s]});
        assign bits[p*(s+1) +: s+1] = {found_2[p*s +: s], bit_here[p]};
      end
      // not one instance with a chosen file name: strings in an expression are padded to the longest
      case (s)
        1: begin : g_1 bx_lane_rom #(.PE(PE), .W(FIELD_W), .WORDS(DEPTH), .FILE(THRESHOLDS_1)) rom (.*); end
        2: begin : g_2 bx_lane_rom #(.PE(PE), .W(FIELD_W), .WORDS(DEPTH), .FILE(THRESHOLDS_2)) rom (.*); end
        3: begin : g_3 bx_lane_rom #(.PE(PE), .W(FIELD_W), .WORDS(DEPTH), .FILE(THRESHOLDS_3)) rom (.*); end
        4: begin : g_4 bx_lane_rom #(.PE(PE), .W(FIELD_W), .WORDS(DEPTH), .FILE(THRESHOLDS_4)) rom (.*); end
        5: begin : g_5 bx_lane_rom #(.PE(PE), .W(FIELD_W), .WORDS(DEPTH), .FILE(THRESHOLDS_5)) rom (.*); end
        6: begin : g_6 bx_lane_rom #(.PE(PE), .W(FIELD_W), .WORDS(DEPTH), .FILE(THRESHOLDS_6)) rom (.*); end
        7: begin : g_7 bx_lane_rom #(.PE(PE), .W(FIELD_W), .WORDS(DEPTH), .FILE(THRESHOLDS_7)) rom (.*); end
      endcase
    end
  end

  for (genvar p = 0; p < PE; p++) begin : g_out
    wire [OUT_W-1:0] level = OUT_W'(OFFSET) + OUT_W'(g_stage[BITS-1].bits[p*BITS +: BITS]);
    always_ff @(posedge clk) if (enable) m_axis_tdata[p*OUT_W +: OUT_W] <= level;
  end
endmodule
`default_nettype wire
