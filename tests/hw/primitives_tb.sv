// Compares the cells that instantiate Xilinx primitives with what they stand for; prints "all N right" or a difference.
module check_equal #(parameter int N = 4) (output int done);
  logic [N-1:0] a, b;
  wire [$clog2(N+1)-1:0] count;
  bx_equal #(.N(N)) dut (.a(a), .b(b), .count(count));
  initial begin
    done = 0;
    // small ones: all pairs of words; others: few equal bits, many, and random ones
    for (int i = 0; i < (N <= 6 ? 1 << 2 * N : 4000); i++) begin
      if (N <= 6) {a, b} = (2 * N)'(i);
      else begin
        for (int k = 0; k < N; k++) begin
          a[k] = 1'($urandom);
          b[k] = a[k] ^ (i % 3 == 0 ? 1'($urandom) : i % 3 == 1 ? $urandom % 16 == 0 : $urandom % 16 != 0);
        end
        if (i == 0) b = a;
        if (i == 1) b = ~a;
      end
      #1;
      if (int'(count) != $countones(~(a ^ b))) begin
        $display("bx_equal %0d: %b %b: expected %0d, found %0d", N, a, b, $countones(~(a ^ b)), count);
        $finish;
      end
    end
    done = 1;
  end
endmodule

module check_ones #(parameter int N = 4) (output int done);
  logic [N-1:0] bits;
  wire [$clog2(N+1)-1:0] count;
  bx_ones #(.N(N)) dut (.bits(bits), .count(count));
  initial begin
    done = 0;
    for (int i = 0; i < (N <= 12 ? 1 << N : 4000); i++) begin
      if (N <= 12) bits = N'(i);
      else begin
        for (int k = 0; k < N; k++) bits[k] = i % 3 == 0 ? 1'($urandom) : (i % 3 == 1) == ($urandom % 16 == 0);
        if (i == 0) bits = '1;
        if (i == 1) bits = '0;
      end
      #1;
      if (int'(count) != $countones(bits)) begin
        $display("bx_ones %0d: %b: expected %0d, found %0d", N, bits, $countones(bits), count);
        $finish;
      end
    end
    done = 1;
  end
endmodule

module check_at_least #(parameter int W = 3, SIGNED = 1) (output int done);
  logic [W-1:0] a, b;
  logic flip;
  wire result;
  bx_at_least #(.W(W), .SIGNED(SIGNED)) dut (.a(a), .b(b), .flip(flip), .result(result));
  initial begin
    done = 0;
    for (int i = 0; i < (W <= 6 ? 2 << 2 * W : 4000); i++) begin
      if (W <= 6) {flip, a, b} = (2 * W + 1)'(i);
      else begin
        {flip, a, b} = (2 * W + 1)'({$urandom, $urandom});
        if (i % 3 == 0) b = a;
        if (i % 3 == 1) b = a + W'($urandom % 3) - 1'b1;
      end
      #1;
      if (result != ((SIGNED != 0 ? $signed(a) >= $signed(b) : a >= b) ^ flip)) begin
        $display("bx_at_least %0d %0d: %b %b %b: found %b", W, SIGNED, a, b, flip, result);
        $finish;
      end
    end
    done = 1;
  end
endmodule

module primitives_tb;
  localparam int MOST = 72;
  localparam int WIDEST = 18;
  int equal[1:MOST], ones[1:MOST], signs[1:WIDEST], counts[1:WIDEST];
  for (genvar n = 1; n <= MOST; n++) begin : g_count
    check_equal #(.N(n)) check_pairs (.done(equal[n]));
    check_ones #(.N(n)) check_bits (.done(ones[n]));
  end
  for (genvar w = 1; w <= WIDEST; w++) begin : g_at_least
    check_at_least #(.W(w), .SIGNED(1)) check_signed (.done(signs[w]));
    check_at_least #(.W(w), .SIGNED(0)) check_unsigned (.done(counts[w]));
  end
  initial begin
    #20000;
    if (equal.sum() == MOST && ones.sum() == MOST && signs.sum() == WIDEST && counts.sum() == WIDEST)
      $display("all right");
    $finish;
  end
endmodule
