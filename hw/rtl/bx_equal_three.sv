// How many of three pairs of bits are equal. Six inputs, two LUTs. Synthesis left alone makes three of it.
`default_nettype none
`ifdef SYNTHESIS
`ifndef BX_PORTABLE
`define BX_XILINX
`endif
`endif
(* keep_hierarchy = "yes" *)
module bx_equal_three (
    input  wire [2:0] a,
    input  wire [2:0] b,
    output wire [1:0] count
);
`ifdef BX_XILINX
  function automatic logic [63:0] init(input integer bit_of_count);
    init = '0;
    for (int i = 0; i < 64; i++) init[i] = 1'((3 - $countones(6'(i) >> 3 ^ 6'(i) & 6'd7)) >> bit_of_count);
  endfunction
  LUT6 #(.INIT(init(0))) low (.I0(a[0]), .I1(a[1]), .I2(a[2]), .I3(b[0]), .I4(b[1]), .I5(b[2]), .O(count[0]));
  LUT6 #(.INIT(init(1))) high (.I0(a[0]), .I1(a[1]), .I2(a[2]), .I3(b[0]), .I4(b[1]), .I5(b[2]), .O(count[1]));
`else
  wire [2:0] same = ~(a ^ b);
  assign count = {(same[0] & same[1]) | (same[2] & (same[0] | same[1])), same[0] ^ same[1] ^ same[2]};
`endif
endmodule
`default_nettype wire
