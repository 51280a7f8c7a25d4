// One beat, followed through a cell: known from when its last cause has gone in until it has come out.
//
// The harness picks its frame (modulo 2^FRAME_W) and its place freely, so what holds for this beat holds for all: none
// is lost, none comes twice, none out of order, none too early.
`default_nettype none
module fv_expected #(
    parameter int W = 1
) (
    input  wire          clk,
    input  wire          rst_n,
    input  wire          learn,     // its last cause goes in
    input  wire  [W-1:0] value,     // what the cell must make of it
    input  wire          offered,   // the cell offers it
    input  wire          taken,     // and it is taken
    output logic         known,
    output logic [W-1:0] expected
);
  always_ff @(posedge clk) begin
    if (!rst_n) known <= 1'b0;
    else if (learn) known <= 1'b1;
    else if (taken) known <= 1'b0;
    if (learn) expected <= value;
  end
  always_comb if (rst_n && offered) assert (known);
  always_comb if (rst_n && learn) assert (!known);
endmodule
`default_nettype wire
