// The AXI4-Stream beat that the accelerator's top uses, for C-simulation.
#pragma once
#include <ap_int.h>

template <int D, int U, int TI, int TD>
struct ap_axiu {
  static_assert(U == 0 && TI == 0 && TD == 0 && D % 8 == 0, "only TDATA, TKEEP, TSTRB and TLAST are used");
  ap_uint<D> data;
  ap_uint<D / 8> keep;
  ap_uint<D / 8> strb;
  ap_uint<1> last;
};
