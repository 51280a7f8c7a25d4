// Read-only memory with a registered read: data in the cycle after an address, held while enable is low.
//
// Beyond 64 words it is block RAM, as the resource estimates say; one word is a constant and takes no register.
`default_nettype none
module bx_rom #(
    parameter int W     = 8,            // bits of a word
    parameter int WORDS = 16,           // words
    parameter     FILE  = "words.mem"   // contents for $readmemh, word 0 first
) (
    input  wire                                              clk,
    input  wire                                              enable,
    input  wire  [($clog2(WORDS) > 0 ? $clog2(WORDS) : 1)-1:0] address,
    output logic [W-1:0]                                     data
);
  if (W < 1 || WORDS < 1) begin : g_check
    $error("bx_rom: W and WORDS must be at least 1");
  end

  if (WORDS == 1) begin : g_constant
    logic [W-1:0] words[0:0];
    initial $readmemh(FILE, words);
    wire unused = &{clk, enable, address};
    assign data = words[0];
  end else if (WORDS <= 64) begin : g_lut
    bx_lut_rom #(
        .W(W), .WORDS(WORDS), .FILE(FILE)
    ) rom (
        .clk(clk), .enable(enable), .address(address), .data(data)
    );
  end else begin : g_block
    (* rom_style = "block" *) logic [W-1:0] words[0:WORDS-1];
    initial $readmemh(FILE, words);
    always_ff @(posedge clk) if (enable) data <= words[address];
  end
endmodule
`default_nettype wire
