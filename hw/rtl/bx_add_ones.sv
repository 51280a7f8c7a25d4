// sum = base + the number of ones among 6 bits.
//
// The LUTs of the carry chain count the ones of five bits themselves (6 inputs: a bit of the base and the five), the
// sixth bit is the carry that goes in: three LUTs. Synthesis left alone counts in LUTs of their own.
// Synthesis for other devices: define BX_PORTABLE.
`default_nettype none
`ifdef SYNTHESIS
`ifndef BX_PORTABLE
`define BX_XILINX
`endif
`endif
module bx_add_ones #(
    parameter int W     = 3,  // bits of the base
    parameter int SUM_W = 4   // bits of the sum
) (
    input  wire [W-1:0]     base,
    input  wire [5:0]       bits,
    output wire [SUM_W-1:0] sum
);
  wire half = bits[0] ^ bits[1] ^ bits[2];
  wire carry_0 = (bits[0] & bits[1]) | (bits[2] & (bits[0] | bits[1]));
  wire carry_1 = (half & bits[3]) | (bits[4] & (half | bits[3]));
  wire [2:0] ones = {carry_0 & carry_1, carry_0 ^ carry_1, half ^ bits[3] ^ bits[4]};
`ifdef BX_XILINX
  localparam int CHAINS = (SUM_W + 3) / 4;
  wire [4*CHAINS-1:0] generated, propagated, total;
  wire [CHAINS:0] carry;
  assign carry[0] = 1'b0;
  for (genvar i = 0; i < 4 * CHAINS; i++) begin : g_bit
    wire bit_of_base;
    if (i < W) begin : g_base
      assign bit_of_base = base[i];
    end else begin : g_none
      assign bit_of_base = 1'b0;
    end
    if (i < 3) begin : g_count
      assign generated[i] = bit_of_base;
      assign propagated[i] = bit_of_base ^ ones[i];
    end else begin : g_pass
      assign generated[i] = 1'b0;
      assign propagated[i] = bit_of_base;
    end
  end
  for (genvar c = 0; c < CHAINS; c++) begin : g_chain
    wire [3:0] out;
    CARRY4 chain (
        .CI(carry[c]), .CYINIT(c == 0 ? bits[5] : 1'b0), .DI(generated[4*c +: 4]), .S(propagated[4*c +: 4]),
        .O(total[4*c +: 4]), .CO(out)
    );
    assign carry[c+1] = out[3];
  end
  assign sum = total[SUM_W-1:0];
`else
  assign sum = SUM_W'(base) + SUM_W'(ones) + SUM_W'(bits[5]);
`endif
endmodule
`default_nettype wire
