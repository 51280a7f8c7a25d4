// What the primitives do that hw/rtl instantiates (from their descriptions in UG953).
`default_nettype none
module LUT6 #(
    parameter [63:0] INIT = '0
) (
    output wire O,
    input  wire I0, I1, I2, I3, I4, I5
);
  assign O = INIT[{I5, I4, I3, I2, I1, I0}];
endmodule

module LUT6_2 #(
    parameter [63:0] INIT = '0
) (
    output wire O6, O5,
    input  wire I0, I1, I2, I3, I4, I5
);
  assign O6 = INIT[{I5, I4, I3, I2, I1, I0}];
  assign O5 = INIT[{1'b0, I4, I3, I2, I1, I0}];
endmodule

module CARRY4 (
    output wire [3:0] CO, O,
    input  wire CI, CYINIT,
    input  wire [3:0] DI, S
);
  wire [4:0] c = {CO, CI | CYINIT};
  assign O = S ^ c[3:0];
  for (genvar i = 0; i < 4; i++) begin : g_bit
    assign CO[i] = S[i] ? c[i] : DI[i];
  end
endmodule
`default_nettype wire
