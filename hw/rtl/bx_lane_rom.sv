// Read-only memories of PE lanes, each with an address of its own: data in the cycle after the addresses, held while
// enable is low. Lane p is column p of the file's words; synthesis drops the columns that a lane's memory never reads.
//
// Beyond 64 words a lane is block RAM, as the resource estimates say.
`default_nettype none
module bx_lane_rom #(
    parameter int PE    = 2,            // lanes
    parameter int W     = 8,            // bits of a lane's word
    parameter int WORDS = 16,           // words, at least 2
    parameter     FILE  = "words.mem"   // contents for $readmemh, word 0 first: PE lanes each, lane 0 in the low bits
) (
    input  wire                         clk,
    input  wire                         enable,
    input  wire  [PE*$clog2(WORDS)-1:0] address,
    output logic [PE*W-1:0]             data
);
  localparam int AW = $clog2(WORDS);

  if (PE < 1 || W < 1 || WORDS < 2) begin : g_check
    $error("bx_lane_rom: PE and W must be at least 1, WORDS at least 2");
  end

  for (genvar p = 0; p < PE; p++) begin : g_lane
    if (WORDS <= 64) begin : g_lut
      logic [PE*W-1:0] words[0:WORDS-1];
      initial $readmemh(FILE, words);
      always_ff @(posedge clk) if (enable) data[p*W +: W] <= words[address[p*AW +: AW]][p*W +: W];
    end else begin : g_block
      (* rom_style = "block" *) logic [PE*W-1:0] words[0:WORDS-1];
      initial $readmemh(FILE, words);
      always_ff @(posedge clk) if (enable) data[p*W +: W] <= words[address[p*AW +: AW]][p*W +: W];
    end
  end
endmodule
`default_nettype wire
