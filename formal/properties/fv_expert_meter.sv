// bx_expert_meter: each counter tells how often its expert was chosen, and stays at its end.
`default_nettype none
module fv_expert_meter #(
    parameter int EXPERTS = 3,
    parameter int W       = 2,
    parameter int IW      = 2
) (
    input wire          clk,
    input wire          rst_n,
    input wire [IW-1:0] choice,
    input wire          chosen,
    input wire [IW-1:0] address,
    input wire [IW-1:0] pick
);
  wire [W-1:0] count;
  wire ready, overflow;
  bx_expert_meter #(.EXPERTS(EXPERTS), .W(W)) dut (.*);
  fv_run run (.*);
  always_comb if (rst_n) assume (choice < IW'(EXPERTS) && address < IW'(EXPERTS) && pick < IW'(EXPERTS));

  // -- any one expert
  logic [IW-1:0] expert;
  always_ff @(posedge clk) if (!rst_n) expert <= pick;

  // what was chosen so far, then what of it has been written, then what can be read
  logic [W-1:0] told, written, seen;
  logic over, asked;
  always_ff @(posedge clk) begin
    asked <= rst_n && ready && address == expert;
    seen <= written;
    if (!rst_n) begin
      told <= '0;
      written <= '0;
      over <= 1'b0;
    end else begin
      written <= told;
      if (ready && chosen && choice == expert) begin
        told <= told + W'(!(&told));
        over <= &told;
      end
    end
  end
  always_comb if (rst_n && asked) assert (count == seen);

  // -- an overflow is told, in the cycle in which it is written
  logic late;
  always_ff @(posedge clk) late <= rst_n && over;
  always_comb if (rst_n && late) assert (overflow);

  // -- clearing takes as many cycles as there are experts
  logic [3:0] since;
  always_ff @(posedge clk) since <= !rst_n ? '0 : since + 4'(since != 4'd15);
  always_comb if (rst_n) assert (ready == (since >= 4'(EXPERTS)));
  always_comb cover (rst_n && asked && count == '1);
  always_comb cover (rst_n && overflow);
endmodule
`default_nettype wire
