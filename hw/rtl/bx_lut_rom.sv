// Read-only memory of LUTs with a registered read: data in the cycle after an address, held while enable is low.
//
// A module of its own, kept whole: of at most 64 words a bit is one LUT. Mixed with the logic of its address, the same
// bit was found to take three.
`default_nettype none
(* keep_hierarchy = "yes" *)
module bx_lut_rom #(
    parameter int W     = 8,            // bits of a word
    parameter int WORDS = 16,           // words, 2 to 64
    parameter     FILE  = "words.mem"   // contents for $readmemh, word 0 first
) (
    input  wire                     clk,
    input  wire                     enable,
    input  wire  [$clog2(WORDS)-1:0] address,
    output logic [W-1:0]            data
);
  if (W < 1 || WORDS < 2 || WORDS > 64) begin : g_check
    $error("bx_lut_rom: W must be at least 1, WORDS 2 to 64");
  end

  logic [W-1:0] words[0:WORDS-1];
  initial $readmemh(FILE, words);
  always_ff @(posedge clk) if (enable) data <= words[address];
endmodule
`default_nettype wire
