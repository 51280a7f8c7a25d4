// Maximum or sum of the taps of one window, as they come: the model that pools are held against.
`default_nettype none
module fv_reduction #(
    parameter int W     = 2,
    parameter int OUT_W = 2,
    parameter int SUM   = 0,
    parameter int KIND  = 2  // of fv_element
) (
    input  wire              clk,
    input  wire              tap,
    input  wire              first,
    input  wire              present,  // it is not padding, which is 0
    input  wire  [    W-1:0] code,
    output logic [OUT_W-1:0] result    // of the taps so far, this one included
);
  logic [OUT_W-1:0] value, sofar;
  fv_element #(.KIND(KIND), .W(W), .OUT_W(OUT_W)) element (.code, .value);
  wire [OUT_W-1:0] added = present ? value : '0;
  wire larger = KIND == 2 ? $signed(added) > $signed(sofar) : added > sofar;
  assign result = first ? added : SUM != 0 ? sofar + added : larger ? added : sofar;
  always_ff @(posedge clk) if (tap) sofar <= result;
endmodule
`default_nettype wire
