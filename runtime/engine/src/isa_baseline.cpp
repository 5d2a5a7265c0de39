#define TICKET_ISA baseline
#define TICKET_LANES 4  // floats of a register
#define TICKET_PANEL 4  // rows, keys or channels that a kernel keeps in registers at once

#include "vectors.h"

#include "integer_product.h"
#include "step.h"

namespace ticket {

extern const Kernels kernels_baseline;
const Kernels kernels_baseline = {
    "baseline", TICKET_PANEL, 8, baseline::workspace_bytes, baseline::step, baseline::integer_product, baseline::product_bytes,
};

}  // namespace ticket
