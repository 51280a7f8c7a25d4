// The integer that an element's code stands for. KIND 0: +-1 as bits 1 and 0, 1: unsigned, 2: two's complement.
`default_nettype none
module fv_element #(
    parameter int KIND  = 0,
    parameter int W     = 1,
    parameter int OUT_W = 4
) (
    input  wire  [    W-1:0] code,
    output logic [OUT_W-1:0] value
);
  always_comb begin
    value = '0;
    for (int i = 0; i < W; i++)
      if (code[i]) value = KIND == 2 && i == W - 1 ? value - (OUT_W'(1) << i) : value + (OUT_W'(1) << i);
    if (KIND == 0) value = code[0] ? OUT_W'(1) : -OUT_W'(1);
  end
endmodule
`default_nettype wire
