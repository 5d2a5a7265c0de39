// Vectors of the compiler's own kind, so that one source serves every instruction set.
//
// Included once by every isa_*.cpp, inside a namespace of its own: a function that two translation units compile with
// different flags must never be one symbol, or the linker may hand AVX-512 code to a processor without it. For the same
// reason nothing here calls inline functions of the standard library.
//
// Columns are frames. A Row is one channel of one tile: L consecutive columns.
#pragma once

#include <cstdint>
#include <cstring>

#include "memory.h"

#define TICKET_INLINE static TICKET_ALWAYS_INLINE
#define TICKET_UNROLL _Pragma("GCC unroll 16")

namespace TICKET_ISA {

template <int W>
struct Vec {
    typedef float F __attribute__((vector_size(W * 4), aligned(4), may_alias));
    typedef int32_t I __attribute__((vector_size(W * 4), aligned(4), may_alias));
    typedef uint32_t U __attribute__((vector_size(W * 4), aligned(4), may_alias));
};

// Keeps the compiler from fusing a product with the sum that follows it: a fused one rounds once, and the integers of
// an int8 product must not depend on whether a processor can fuse.
template <typename V>
TICKET_INLINE V unfused(V v) {
#if defined(__AVX512F__)
    __asm__("" : "+v"(v));
#elif defined(__x86_64__)
    __asm__("" : "+x"(v));
#elif defined(__aarch64__)
    __asm__("" : "+w"(v));
#elif !defined(__clang__)
    __asm__("" : "+m"(v));
#endif
    return v;
}

template <int L>
struct Row {
    static constexpr int W = L < TICKET_LANES ? L : TICKET_LANES;  // lanes of one register
    static constexpr int R = L / W;                                // registers of a row
    typedef typename Vec<W>::F F;
    typedef typename Vec<W>::I I;
    typedef typename Vec<W>::U U;
    F v[R];
};

template <int L>
TICKET_INLINE Row<L> load(const float *p) {
    Row<L> out;
    TICKET_UNROLL
    for (int r = 0; r < Row<L>::R; r++) out.v[r] = *reinterpret_cast<const typename Row<L>::F *>(p + r * Row<L>::W);
    return out;
}

template <int L>
TICKET_INLINE void store(float *p, Row<L> x) {
    TICKET_UNROLL
    for (int r = 0; r < Row<L>::R; r++) *reinterpret_cast<typename Row<L>::F *>(p + r * Row<L>::W) = x.v[r];
}

template <int L>
TICKET_INLINE Row<L> same(float value) {
    Row<L> out;
    TICKET_UNROLL
    for (int r = 0; r < Row<L>::R; r++) out.v[r] = value - typename Row<L>::F{};
    return out;
}

#define TICKET_ROW_OPERATOR(op)                                        \
    template <int L>                                                   \
    TICKET_INLINE Row<L> operator op(Row<L> a, Row<L> b) {             \
        TICKET_UNROLL                                                  \
        for (int r = 0; r < Row<L>::R; r++) a.v[r] = a.v[r] op b.v[r]; \
        return a;                                                      \
    }                                                                  \
    template <int L>                                                   \
    TICKET_INLINE Row<L> operator op(Row<L> a, float b) {              \
        TICKET_UNROLL                                                  \
        for (int r = 0; r < Row<L>::R; r++) a.v[r] = a.v[r] op b;      \
        return a;                                                      \
    }
TICKET_ROW_OPERATOR(+)
TICKET_ROW_OPERATOR(-)
TICKET_ROW_OPERATOR(*)
TICKET_ROW_OPERATOR(/)
#undef TICKET_ROW_OPERATOR

// The smaller or larger of two numbers; b where a is not a number.
template <typename F>
TICKET_INLINE F min_of(F a, F b) {
    return a < b ? a : b;
}
template <typename F>
TICKET_INLINE F max_of(F a, F b) {
    return a > b ? a : b;
}
template <int L>
TICKET_INLINE Row<L> min(Row<L> a, Row<L> b) {
    TICKET_UNROLL
    for (int r = 0; r < Row<L>::R; r++) a.v[r] = min_of(a.v[r], b.v[r]);
    return a;
}
template <int L>
TICKET_INLINE Row<L> max(Row<L> a, Row<L> b) {
    TICKET_UNROLL
    for (int r = 0; r < Row<L>::R; r++) a.v[r] = max_of(a.v[r], b.v[r]);
    return a;
}

// a + b * c, and for one number b.
template <int L>
TICKET_INLINE void accumulate(Row<L> &a, Row<L> b, Row<L> c) {
    TICKET_UNROLL
    for (int r = 0; r < Row<L>::R; r++) a.v[r] += b.v[r] * c.v[r];
}
template <int L>
TICKET_INLINE void accumulate(Row<L> &a, float b, Row<L> c) {
    TICKET_UNROLL
    for (int r = 0; r < Row<L>::R; r++) a.v[r] += b * c.v[r];
}

// 2^f for f in [-0.5, 0.5], with a relative error of 1e-7: the polynomial of degree 5 that makes the largest one smallest.
template <typename F>
TICKET_INLINE F exp2_fraction(F f) {
    F p = 0.00132647238f * f + 0.00967151299f;
    p = p * f + 0.0555073358f;
    p = p * f + 0.240222424f;
    p = p * f + 0.693147004f;
    return p * f + 1.0f;
}

// 2^f for f in [0, 1], with a relative error of 8e-5.
template <typename F>
TICKET_INLINE F rough_exp2_fraction(F f) {
    F p = 0.07802454f * f + 0.2260672f;
    p = p * f + 0.69583349f;
    return p * f + 0.99992523f;
}

constexpr float kLog2OfE = 1.44269504f;
// 1.5 * 2^23: adding it rounds a number to an integer, whose bits then lie at the end of the sum's.
constexpr float kRounder = 12582912.0f;

// e^x; x is clamped to the range whose result is a normal number. kIsRounded: the result is about to be rounded to 8
// bits, so that a few digits are enough, where that saves anything.
template <int W, bool kIsRounded>
TICKET_INLINE typename Vec<W>::F exp_vector(typename Vec<W>::F x) {
    typedef typename Vec<W>::F F;
    typedef typename Vec<W>::U U;
    const F none = {};
    x = min_of(max_of(x, -87.0f - none), 88.0f - none);
    F shifted = x * kLog2OfE + kRounder;
    F fraction = x * kLog2OfE - (shifted - kRounder);
    U bits = reinterpret_cast<U>(exp2_fraction(fraction)) + (reinterpret_cast<U>(shifted) << 23);
    return reinterpret_cast<F>(bits);
}

// 1 / (1 + e^-x)
template <int W, bool kIsRounded>
TICKET_INLINE typename Vec<W>::F sigmoid_vector(typename Vec<W>::F x) {
    return 1.0f / (1.0f + exp_vector<W, kIsRounded>(-x));
}

template <int L, bool kIsRounded = false>
TICKET_INLINE Row<L> exp(Row<L> x) {
    TICKET_UNROLL
    for (int r = 0; r < Row<L>::R; r++) x.v[r] = exp_vector<Row<L>::W, kIsRounded>(x.v[r]);
    return x;
}

template <int L, bool kIsRounded = false>
TICKET_INLINE Row<L> sigmoid(Row<L> x) {
    TICKET_UNROLL
    for (int r = 0; r < Row<L>::R; r++) x.v[r] = sigmoid_vector<Row<L>::W, kIsRounded>(x.v[r]);
    return x;
}
template <int L, bool kIsRounded = false>
TICKET_INLINE Row<L> silu(Row<L> x) {
    return x * sigmoid<L, kIsRounded>(x);
}

// 1 / sqrt(x), one by one: compilers know no root of vectors, and it is taken once a norm.
template <int W>
TICKET_INLINE typename Vec<W>::F inverse_sqrt_vector(typename Vec<W>::F x) {
    for (int i = 0; i < W; i++) x[i] = 1.0f / __builtin_sqrtf(x[i]);
    return x;
}
template <int L>
TICKET_INLINE Row<L> inverse_sqrt(Row<L> x) {
    TICKET_UNROLL
    for (int r = 0; r < Row<L>::R; r++) x.v[r] = inverse_sqrt_vector<Row<L>::W>(x.v[r]);
    return x;
}

}  // namespace TICKET_ISA
