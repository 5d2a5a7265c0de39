#define TICKET_ISA avxvnni
#define TICKET_LANES 8  // floats of a register
#define TICKET_PANEL 4  // rows, keys or channels that a kernel keeps in registers at once

#include "vectors.h"

#include "avx2.h"

#include "integer_product.h"
#include "step.h"

namespace ticket {

extern const Kernels kernels_avxvnni;
const Kernels kernels_avxvnni = {
    "avxvnni", TICKET_PANEL, 16, avxvnni::workspace_bytes, avxvnni::step, avxvnni::integer_product, avxvnni::product_bytes,
};

}  // namespace ticket
