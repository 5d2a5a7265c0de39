#define TICKET_ISA dotprod
#define TICKET_LANES 4  // floats of a register
#define TICKET_PANEL 4  // rows, keys or channels that a kernel keeps in registers at once

#include "vectors.h"

#include "neon.h"

#include "integer_product.h"
#include "step.h"

namespace ticket {

extern const Kernels kernels_dotprod;
const Kernels kernels_dotprod = {
    "dotprod", TICKET_PANEL, 16, dotprod::workspace_bytes, dotprod::step, dotprod::integer_product, dotprod::product_bytes,
};

}  // namespace ticket
