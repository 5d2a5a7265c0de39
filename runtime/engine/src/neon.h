// Sums of four 8-bit products with the dot product instructions of ARMv8.2 and later.
#pragma once

#include <arm_neon.h>

#define TICKET_HAS_DOT4 1

namespace TICKET_ISA {

// Four unsigned bytes in each of four 32-bit lanes. The instruction of ARMv8.2 multiplies signed bytes: it is given
// activation - 128, and what that takes away is what a row's sums start with.
#if !defined(__ARM_FEATURE_MATMUL_INT8)
#define TICKET_ACTIVATION_SHIFT 128
#endif

template <int W>
struct Quads {
#if defined(__ARM_FEATURE_MATMUL_INT8)
    uint8x16_t v;
#else
    int8x16_t v;
#endif
};

template <int W>
TICKET_INLINE Quads<W> load_quads(const uint8_t *p) {
#if defined(__ARM_FEATURE_MATMUL_INT8)
    return {vld1q_u8(p)};
#else
    return {vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p), vdupq_n_u8(0x80)))};
#endif
}

// sum + the products of four activations (unsigned) with the four weights (signed) at `weights`, in every lane.
template <int W>
TICKET_INLINE typename Vec<W>::I dot4(typename Vec<W>::I sum, Quads<W> x, const int8_t *weights) {
    typedef typename Vec<W>::I I;
    int32_t w;
    std::memcpy(&w, weights, 4);
    int8x16_t all = vreinterpretq_s8_s32(vdupq_n_s32(w));
    int32x4_t a = reinterpret_cast<int32x4_t>(sum);
#if defined(__ARM_FEATURE_MATMUL_INT8)
    return reinterpret_cast<I>(vusdotq_s32(a, x.v, all));
#else
    return reinterpret_cast<I>(vdotq_s32(a, x.v, all));
#endif
}

}  // namespace TICKET_ISA
