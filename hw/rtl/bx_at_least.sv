// (a >= b) xor flip.
//
// On Xilinx devices a LUT takes two bits of each word: its two outputs say whether the pairs are equal, which lets the
// carry pass, and whether a's is larger, which is the carry then. The flip is the next bit's input to the chain.
`default_nettype none
`ifdef SYNTHESIS
`ifndef BX_PORTABLE
`define BX_XILINX
`endif
`endif
module bx_at_least #(
    parameter int W      = 8,
    parameter int SIGNED = 1  // two's complement
) (
    input  wire [W-1:0] a,
    input  wire [W-1:0] b,
    input  wire         flip,
    output wire         result
);
`ifdef BX_XILINX
  localparam int PAIRS = (W + 1) / 2;
  localparam int FULL = 2 * PAIRS;
  localparam int CHAINS = (PAIRS + 1 + 3) / 4;
  wire [FULL-1:0] x = FULL'(a), y = FULL'(b);

  function automatic logic [63:0] init(input integer swap);  // of bits {b1, a1, b0, a0}; swap: bit 1 is a sign
    init = '0;
    for (int i = 0; i < 32; i++) begin
      init[32+i] = i[1] == i[0] && i[3] == i[2];
      init[i] = i[3] != i[2] ? i[2] != 1'(swap) : i[0] && !i[1];
    end
  endfunction
  wire [4*CHAINS-1:0] larger, equal, total;
  wire [CHAINS:0] carry;
  assign carry[0] = 1'b0;
  for (genvar i = 0; i < 4 * CHAINS; i++) begin : g_pair
    if (i < PAIRS) begin : g_compare
      // the sign of a word of odd length is the lower bit of the last pair: it is moved up
      localparam bit TOP = i == PAIRS - 1;
      localparam bit ALONE = TOP && W % 2 != 0;
      LUT6_2 #(.INIT(init(TOP && SIGNED != 0 ? 1 : 0))) lut (
          .I0(ALONE ? 1'b0 : x[2*i]), .I1(ALONE ? 1'b0 : y[2*i]), .I2(ALONE ? x[2*i] : x[2*i+1]),
          .I3(ALONE ? y[2*i] : y[2*i+1]), .I4(1'b0), .I5(1'b1), .O6(equal[i]), .O5(larger[i])
      );
    end else begin : g_flip
      assign equal[i] = i == PAIRS && flip;
      assign larger[i] = 1'b0;
    end
  end
  for (genvar c = 0; c < CHAINS; c++) begin : g_chain
    wire [3:0] out;
    CARRY4 chain (
        .CI(carry[c]), .CYINIT(c == 0), .DI(larger[4*c +: 4]), .S(equal[4*c +: 4]), .O(total[4*c +: 4]), .CO(out)
    );
    assign carry[c+1] = out[3];
  end
  assign result = total[PAIRS];
`else
  if (SIGNED != 0) begin : g_signed
    assign result = ($signed(a) >= $signed(b)) ^ flip;
  end else begin : g_unsigned
    assign result = (a >= b) ^ flip;
  end
`endif
endmodule
`default_nettype wire
