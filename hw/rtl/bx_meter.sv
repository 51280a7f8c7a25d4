// Counts what passes the accelerator: frames, cycles, intervals, latencies, and who waits for whom.
//
// Everything counts events of the cycle before. A counter that has reached its end stays there and says so in
// `overflow`. An interval lies between the last beats of two frames of one packet that leave; a latency, from the cycle in
// which a frame's first beat is taken to the one in which its last leaves, is measured for one frame at a time: the next
// one to come when the one before has left.
`default_nettype none
module bx_meter #(
    parameter int FRAMES_W = 32,  // bits of the counters of frames, and of intervals and latencies
    parameter int CYCLES_W = 48,  // bits of the counters of cycles
    parameter int NUMBER_W = 16   // 2^NUMBER_W is more than the frames that can be inside
) (
    input  wire                 clk,
    input  wire                 rst_n,
    input  wire                 clear,        // all counters; frames that are inside stay so
    input  wire                 begins,       // a frame's first beat goes in
    input  wire                 enters,       // its last beat goes in
    input  wire                 leaves,       // its last beat leaves
    input  wire                 ends,         // and its packet ends with it
    input  wire                 starved,      // the accelerator would take a beat that isn't there
    input  wire                 refused,      // a beat is there that the accelerator doesn't take
    input  wire                 blocked,      // a result is there that isn't fetched
    output logic                busy,         // frames are inside
    output logic [FRAMES_W-1:0] frames_in,
    output logic [FRAMES_W-1:0] frames_out,
    output logic [CYCLES_W-1:0] cycles,
    output logic [CYCLES_W-1:0] cycles_busy,
    output logic [CYCLES_W-1:0] cycles_starved,
    output logic [CYCLES_W-1:0] cycles_refused,
    output logic [CYCLES_W-1:0] cycles_blocked,
    output logic [FRAMES_W-1:0] interval,     // of the last two frames; 0: none yet
    output logic [FRAMES_W-1:0] interval_min,
    output logic [FRAMES_W-1:0] interval_max,
    output logic [FRAMES_W-1:0] latency,      // of the last frame measured; 0: none yet
    output logic [FRAMES_W-1:0] latency_min,
    output logic [FRAMES_W-1:0] latency_max,
    output logic                overflow
);
  // --- frames inside: from their first beat on -----------------------------------------------------------
  logic [NUMBER_W-1:0] begun, left;
  assign busy = begun != left;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      begun <= '0;
      left <= '0;
    end else begin
      if (begins) begun <= begun + 1'b1;
      if (leaves) left <= left + 1'b1;
    end
  end

  // --- counters ---------------------------------------------------------------------------------------------
  wire [4:0] counts = {blocked, refused, starved && busy, busy, 1'b1};
  wire [4:0] full;
  for (genvar c = 0; c < 5; c++) begin : g_cycles
    logic [CYCLES_W-1:0] counter;
    assign full[c] = &counter;
    always_ff @(posedge clk) begin
      if (!rst_n || clear) counter <= '0;
      else if (counts[c] && !full[c]) counter <= counter + 1'b1;
    end
  end
  assign cycles = g_cycles[0].counter;
  assign cycles_busy = g_cycles[1].counter;
  assign cycles_starved = g_cycles[2].counter;
  assign cycles_refused = g_cycles[3].counter;
  assign cycles_blocked = g_cycles[4].counter;

  always_ff @(posedge clk) begin
    if (!rst_n || clear) begin
      frames_in <= '0;
      frames_out <= '0;
      overflow <= 1'b0;
    end else begin
      if (enters && !(&frames_in)) frames_in <= frames_in + 1'b1;
      if (leaves && !(&frames_out)) frames_out <= frames_out + 1'b1;
      if (|full || &frames_in || &frames_out) overflow <= 1'b1;
    end
  end

  // --- intervals and latencies -------------------------------------------------------------------------------
  logic [FRAMES_W-1:0] since, age;
  logic follows;   // the next frame to leave is of the last one's packet
  logic measuring;
  logic [NUMBER_W-1:0] measured;
  wire found = leaves && measuring && left == measured;
  always_ff @(posedge clk) begin
    if (!rst_n || clear) begin
      follows <= 1'b0;
      measuring <= 1'b0;
      {interval, interval_min, interval_max} <= '0;
      {latency, latency_min, latency_max} <= '0;
    end else begin
      if (leaves) begin
        follows <= !ends;
        if (follows) begin
          interval <= since;
          if (interval == '0 || since < interval_min) interval_min <= since;
          if (since > interval_max) interval_max <= since;
        end
      end
      if (found) begin
        measuring <= 1'b0;
        latency <= age;
        if (latency == '0 || age < latency_min) latency_min <= age;
        if (age > latency_max) latency_max <= age;
      end
      if (begins && !measuring) begin
        measuring <= 1'b1;
        measured <= begun;
      end
    end
  end
  // the cycle after an event is the first that counts
  always_ff @(posedge clk) begin
    if (leaves) since <= FRAMES_W'(1);
    else if (!(&since)) since <= since + 1'b1;
    if (begins && !measuring) age <= FRAMES_W'(1);
    else if (!(&age)) age <= age + 1'b1;
  end
endmodule
`default_nettype wire
