// The immintrin.h of GCC 12 reads variables that it leaves undefined on purpose.
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#define TICKET_ISA avx512
#define TICKET_LANES 16  // floats of a register
#define TICKET_PANEL 16  // rows, keys or channels that a kernel keeps in registers at once

#include "vectors.h"

#include "avx512.h"

#include "integer_product.h"
#include "step.h"

namespace ticket {

extern const Kernels kernels_avx512;
const Kernels kernels_avx512 = {
    "avx512", TICKET_PANEL, 16, avx512::workspace_bytes, avx512::step, avx512::integer_product, avx512::product_bytes,
};

}  // namespace ticket
