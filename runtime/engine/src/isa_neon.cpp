#define TICKET_ISA neon
#define TICKET_LANES 4  // floats of a register
#define TICKET_PANEL 4  // rows, keys or channels that a kernel keeps in registers at once

#include "vectors.h"

#include "integer_product.h"
#include "step.h"

namespace ticket {

extern const Kernels kernels_neon;
const Kernels kernels_neon = {
    "neon", TICKET_PANEL, 16, neon::workspace_bytes, neon::step, neon::integer_product, neon::product_bytes,
};

}  // namespace ticket
