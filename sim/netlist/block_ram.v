// Behaviour of a 7-series block RAM of 512 rows, as far as Yosys uses one: two ports on one clock, each with a width
// of its own, 1, 2, 4, 8, .. bits of data and from 8 on a parity bit for each byte. No output registers, no cascade.
//
// A port reads into its output register in a cycle in which it is enabled; `reset` loads SRVAL instead. What a port
// reads while it writes is its WRITE_MODE's: READ_FIRST the old word, WRITE_FIRST the new one, NO_CHANGE nothing.
// What one port reads where the other one writes in the same cycle is the old word if the writer is READ_FIRST;
// otherwise it is undefined: here the old word inverted, so that a design which relies on it is found.
module block_ram #(
    parameter BYTES = 4,                      // of a row: 4 in a RAMB18E1, 8 in a RAMB36E1
    parameter [512*BYTES*8-1:0] DATA = 0,     // contents, row 0 in the low bits
    parameter [512*BYTES-1:0] PARITY = 0,
    parameter READ_WIDTH_A = 0,               // with parity, as the primitives name it: 0, 1, 2, 4, 9, 18, 36, 72
    parameter WRITE_WIDTH_A = 0,
    parameter READ_WIDTH_B = 0,
    parameter WRITE_WIDTH_B = 0,
    parameter WRITE_MODE_A = "WRITE_FIRST",
    parameter WRITE_MODE_B = "WRITE_FIRST",
    parameter [BYTES*9-1:0] INIT_A = 0,       // outputs at power-up, {parity, data}
    parameter [BYTES*9-1:0] INIT_B = 0,
    parameter [BYTES*9-1:0] SRVAL_A = 0,
    parameter [BYTES*9-1:0] SRVAL_B = 0
) (
    input clock_a, clock_b, enable_a, enable_b, reset_a, reset_b,
    input [$clog2(512*BYTES*8)-1:0] address_a, address_b,  // of a bit; the low bits of a word's are ignored
    input [BYTES-1:0] write_a, write_b,                    // one for each byte; narrower words use the lowest
    input [BYTES*8-1:0] data_in_a, data_in_b,
    input [BYTES-1:0] parity_in_a, parity_in_b,
    output [BYTES*8-1:0] data_out_a, data_out_b,
    output [BYTES-1:0] parity_out_a, parity_out_b
);
  localparam BITS = BYTES * 8;
  localparam POSITION = $clog2(BITS);      // bits of an address that say where in a row
  localparam ADDRESS = 9 + POSITION;

  // Bits of data, without parity, of a word.
  function integer data_bits(input integer width);
    data_bits = width >= 9 ? width / 9 * 8 : width;
  endfunction

  // Where in a row a word begins.
  function [POSITION-1:0] start(input [ADDRESS-1:0] address, input integer bits);
    start = POSITION'(address) & ~POSITION'(bits - 1);
  endfunction

  // The bits of a row that a port writes.
  function [BITS-1:0] written_bits(input [ADDRESS-1:0] address, input [BYTES-1:0] write, input integer bits);
    integer i;
    begin
      written_bits = 0;
      for (i = 0; i < bits; i = i + 1) written_bits[i] = write[i/8];
      written_bits = written_bits << start(address, bits);
    end
  endfunction
  function [BYTES-1:0] written_parity(input [ADDRESS-1:0] address, input [BYTES-1:0] write, input integer bits);
    written_parity = bits < 8 ? 0 : (write & ~({BYTES{1'b1}} << (bits / 8))) << (start(address, bits) / 8);
  endfunction

  // A word out of a row.
  function [BITS-1:0] word_of(input [BITS-1:0] row, input [ADDRESS-1:0] address, input integer bits);
    word_of = bits == 0 ? 0 : (row >> start(address, bits)) & ~({BITS{1'b1}} << bits);
  endfunction
  function [BYTES-1:0] parity_of(input [BYTES-1:0] row, input [ADDRESS-1:0] address, input integer bits);
    parity_of = bits < 8 ? 0 : (row >> (start(address, bits) / 8)) & ~({BYTES{1'b1}} << (bits / 8));
  endfunction

  // INIT and SRVAL hold a word's parity right above its data.
  function [BYTES*9-1:0] word_value(input [BYTES*9-1:0] value, input integer bits);
    word_value = bits == 0 ? 0 : {BYTES'(bits < 8 ? 0 : value >> bits), BITS'(value) & ~({BITS{1'b1}} << bits)};
  endfunction

  localparam RA = data_bits(READ_WIDTH_A);
  localparam WA = data_bits(WRITE_WIDTH_A);
  localparam RB = data_bits(READ_WIDTH_B);
  localparam WB = data_bits(WRITE_WIDTH_B);

  reg [BITS-1:0] rows[0:511];
  reg [BYTES-1:0] parities[0:511];
  integer i;
  initial begin
    for (i = 0; i < 512; i = i + 1) begin
      rows[i] = DATA[i*BITS +: BITS];
      parities[i] = PARITY[i*BYTES +: BYTES];
    end
  end

  wire [8:0] row_a = address_a[ADDRESS-1:POSITION];
  wire [8:0] row_b = address_b[ADDRESS-1:POSITION];
  wire [BYTES-1:0] enabled_a = WA == 0 || !enable_a ? 0 : WA < 8 ? {BYTES{write_a[0]}} : write_a;
  wire [BYTES-1:0] enabled_b = WB == 0 || !enable_b ? 0 : WB < 8 ? {BYTES{write_b[0]}} : write_b;
  wire [BITS-1:0] mask_a = written_bits(address_a, enabled_a, WA);
  wire [BITS-1:0] mask_b = written_bits(address_b, enabled_b, WB);
  wire [BYTES-1:0] parity_mask_a = written_parity(address_a, enabled_a, WA);
  wire [BYTES-1:0] parity_mask_b = written_parity(address_b, enabled_b, WB);
  wire [BITS-1:0] new_a = data_in_a << start(address_a, WA);
  wire [BITS-1:0] new_b = data_in_b << start(address_b, WB);
  wire [BYTES-1:0] new_parity_a = parity_in_a << (start(address_a, WA) / 8);
  wire [BYTES-1:0] new_parity_b = parity_in_b << (start(address_b, WB) / 8);

  // What the ports see of a row: their own writes by their mode, the other's by the other's mode.
  wire meet = row_a == row_b;
  wire [BITS-1:0] undefined_a = meet && WRITE_MODE_B != "READ_FIRST" ? mask_b : 0;
  wire [BITS-1:0] undefined_b = meet && WRITE_MODE_A != "READ_FIRST" ? mask_a : 0;
  wire [BYTES-1:0] undefined_parity_a = meet && WRITE_MODE_B != "READ_FIRST" ? parity_mask_b : 0;
  wire [BYTES-1:0] undefined_parity_b = meet && WRITE_MODE_A != "READ_FIRST" ? parity_mask_a : 0;
  wire [BITS-1:0] own_a = WRITE_MODE_A == "WRITE_FIRST" ? mask_a : 0;
  wire [BITS-1:0] own_b = WRITE_MODE_B == "WRITE_FIRST" ? mask_b : 0;
  wire [BYTES-1:0] own_parity_a = WRITE_MODE_A == "WRITE_FIRST" ? parity_mask_a : 0;
  wire [BYTES-1:0] own_parity_b = WRITE_MODE_B == "WRITE_FIRST" ? parity_mask_b : 0;
  wire [BITS-1:0] seen_a = ((rows[row_a] & ~own_a) | (new_a & own_a)) ^ undefined_a;
  wire [BITS-1:0] seen_b = ((rows[row_b] & ~own_b) | (new_b & own_b)) ^ undefined_b;
  wire [BYTES-1:0] seen_parity_a =
      ((parities[row_a] & ~own_parity_a) | (new_parity_a & own_parity_a)) ^ undefined_parity_a;
  wire [BYTES-1:0] seen_parity_b =
      ((parities[row_b] & ~own_parity_b) | (new_parity_b & own_parity_b)) ^ undefined_parity_b;

  reg [BYTES*9-1:0] out_a = word_value(INIT_A, RA);
  reg [BYTES*9-1:0] out_b = word_value(INIT_B, RB);
  assign {parity_out_a, data_out_a} = out_a;
  assign {parity_out_b, data_out_b} = out_b;

  always @(posedge clock_a) begin
    if (enable_a && RA != 0) begin
      if (reset_a) out_a <= word_value(SRVAL_A, RA);
      else if (WRITE_MODE_A != "NO_CHANGE" || enabled_a == 0)
        out_a <= {parity_of(seen_parity_a, address_a, RA), word_of(seen_a, address_a, RA)};
    end
  end
  always @(posedge clock_b) begin
    if (enable_b && RB != 0) begin
      if (reset_b) out_b <= word_value(SRVAL_B, RB);
      else if (WRITE_MODE_B != "NO_CHANGE" || enabled_b == 0)
        out_b <= {parity_of(seen_parity_b, address_b, RB), word_of(seen_b, address_b, RB)};
    end
  end

  if (WA != 0) begin : g_write_a
    always @(posedge clock_a) begin
      if (enabled_a != 0) begin
        rows[row_a] <= (rows[row_a] & ~mask_a) | (new_a & mask_a);
        parities[row_a] <= (parities[row_a] & ~parity_mask_a) | (new_parity_a & parity_mask_a);
      end
    end
  end
  if (WB != 0) begin : g_write_b
    always @(posedge clock_b) begin
      if (enabled_b != 0) begin
        rows[row_b] <= (rows[row_b] & ~mask_b) | (new_b & mask_b);
        parities[row_b] <= (parities[row_b] & ~parity_mask_b) | (new_parity_b & parity_mask_b);
      end
    end
  end

  if (WA != 0 && WB != 0) begin : g_check
    $fatal(1, "block RAM: only one port may write");
  end
  if (RA + WA != 0 && RB + WB != 0) begin : g_clocks
    always @(posedge clock_a) if (clock_b != clock_a) $fatal(1, "block RAM: both ports must have one clock");
  end
endmodule
