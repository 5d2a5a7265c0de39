#define TICKET_ISA avx2
#define TICKET_LANES 8  // floats of a register
#define TICKET_PANEL 4  // rows, keys or channels that a kernel keeps in registers at once

#include "vectors.h"

#include "avx2.h"

#include "integer_product.h"
#include "step.h"

namespace ticket {

extern const Kernels kernels_avx2;
const Kernels kernels_avx2 = {
    "avx2", TICKET_PANEL, 16, avx2::workspace_bytes, avx2::step, avx2::integer_product, avx2::product_bytes,
};

}  // namespace ticket
