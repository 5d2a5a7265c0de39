#define TICKET_ISA simd128
#define TICKET_LANES 4  // floats of a register
#define TICKET_PANEL 4  // rows, keys or channels that a kernel keeps in registers at once

#include "vectors.h"

#include "integer_product.h"
#include "step.h"

namespace ticket {

extern const Kernels kernels_simd128;
const Kernels kernels_simd128 = {
    "simd128", TICKET_PANEL, 8, simd128::workspace_bytes, simd128::step, simd128::integer_product, simd128::product_bytes,
};

}  // namespace ticket
