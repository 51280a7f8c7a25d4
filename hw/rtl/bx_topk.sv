// Indices of the K largest of C elements, largest first; of equal elements the lower index goes first.
//
// One element a cycle is inserted into K sorted registers, in front of strictly smaller ones only. With the
// frame's last element the indices move to a second set, from which they leave one a beat from the next
// cycle on while the next frame enters. Only the last element of a frame ever waits: until the earlier
// frame's indices are gone (the cycle in which the last one leaves will do).
`default_nettype none
module bx_topk #(
    parameter int W       = 8,   // bits of an element
    parameter int SIGNED  = 1,   // elements are two's complement
    parameter int C       = 10,  // elements in a frame
    parameter int K       = 3,   // indices wanted, 1..C
    parameter int INDEX_W = 4    // bits of an index
) (
    input  wire                clk,
    input  wire                rst_n,
    input  wire  [W-1:0]       s_axis_tdata,
    input  wire                s_axis_tvalid,
    output logic               s_axis_tready,
    output logic [INDEX_W-1:0] m_axis_tdata,
    output logic               m_axis_tvalid,
    input  wire                m_axis_tready
);
  localparam int KW = $clog2(K + 1);

  if (K < 1 || K > C || $clog2(C) > INDEX_W) begin : g_check
    $error("bx_topk: K must be in 1..C and INDEX_W must hold C-1");
  end

  // An element with its top bit turned compares unsigned in the right order.
  wire [W-1:0] value = s_axis_tdata ^ (SIGNED != 0 ? W'(1) << (W - 1) : '0);

  logic [K*W-1:0] values;         // slot 0 is the largest
  logic [K*INDEX_W-1:0] indices;
  logic [K-1:0] used;
  logic [INDEX_W-1:0] index;      // of the element at the input
  logic [K*INDEX_W-1:0] leaving;  // the next index to leave in the low bits
  logic [KW-1:0] left;

  wire first = index == '0;
  wire last = index == INDEX_W'(C - 1);
  wire leave = m_axis_tvalid && m_axis_tready;
  assign m_axis_tvalid = left != '0;
  assign m_axis_tdata  = leaving[INDEX_W-1:0];
  assign s_axis_tready = !last || left == '0 || (left == KW'(1) && m_axis_tready);
  wire take = s_axis_tvalid && s_axis_tready;

  wire [K-1:0] beaten;  // slots that the element goes in front of: a run up to the last slot
  logic [K*W-1:0] next_values;
  logic [K*INDEX_W-1:0] next_indices;
  for (genvar j = 0; j < K; j++) begin : g_slot
    assign beaten[j] = first || !used[j] || value > values[j*W +: W];
    if (j == 0) begin : g_top
      assign next_values[W-1:0] = beaten[0] ? value : values[W-1:0];
      assign next_indices[INDEX_W-1:0] = beaten[0] ? index : indices[INDEX_W-1:0];
    end else begin : g_below
      assign next_values[j*W +: W] = !beaten[j] ? values[j*W +: W] : beaten[j-1] ? values[(j-1)*W +: W] : value;
      assign next_indices[j*INDEX_W +: INDEX_W] = !beaten[j] ? indices[j*INDEX_W +: INDEX_W]
          : beaten[j-1] ? indices[(j-1)*INDEX_W +: INDEX_W] : index;
    end
  end

  always_ff @(posedge clk) begin
    if (take) begin
      values <= next_values;
      indices <= next_indices;
    end
    if (take && last) leaving <= next_indices;
    else if (leave) leaving <= leaving >> INDEX_W;
  end

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      index <= '0;
      left <= '0;
      used <= '0;
    end else begin
      if (take) begin
        index <= last ? '0 : index + 1'b1;
        used <= first ? K'(1) : K'({used, 1'b1});
      end
      if (take && last) left <= KW'(K);
      else if (leave) left <= left - 1'b1;
    end
  end
endmodule
`default_nettype wire
