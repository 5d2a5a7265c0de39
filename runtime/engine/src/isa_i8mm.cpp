#define TICKET_ISA i8mm
#define TICKET_LANES 4  // floats of a register
#define TICKET_PANEL 4  // rows, keys or channels that a kernel keeps in registers at once

#include "vectors.h"

#include "neon.h"

#include "integer_product.h"
#include "step.h"

namespace ticket {

extern const Kernels kernels_i8mm;
const Kernels kernels_i8mm = {
    "i8mm", TICKET_PANEL, 16, i8mm::workspace_bytes, i8mm::step, i8mm::integer_product, i8mm::product_bytes,
};

}  // namespace ticket
