// What AVX-512 has instructions for: sums of four 8-bit products, the gathering of four rows, exponentials.
#pragma once

#include <immintrin.h>

#define TICKET_HAS_DOT4 1
#define TICKET_HAS_ROWS4 1
#define TICKET_HAS_EXPAND 1

namespace TICKET_ISA {

// Four unsigned bytes in each of W 32-bit lanes.
template <int W>
struct Quads;
template <>
struct Quads<16> {
    __m512i v;
};
template <>
struct Quads<8> {
    __m256i v;
};
template <>
struct Quads<4> {
    __m128i v;
};

template <int W>
TICKET_INLINE Quads<W> load_quads(const uint8_t *p) {
    if constexpr (W == 16) {
        return {_mm512_loadu_si512(p)};
    } else if constexpr (W == 8) {
        return {_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p))};
    } else {
        return {_mm_loadu_si128(reinterpret_cast<const __m128i *>(p))};
    }
}

// sum + the products of four activations (unsigned) with the four weights (signed) at `weights`, in every lane.
template <int W>
TICKET_INLINE typename Vec<W>::I dot4(typename Vec<W>::I sum, Quads<W> x, const int8_t *weights) {
    typedef typename Vec<W>::I I;
    int32_t w;
    std::memcpy(&w, weights, 4);
    if constexpr (W == 16) {
        return reinterpret_cast<I>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), x.v, _mm512_set1_epi32(w)));
    } else if constexpr (W == 8) {
        return reinterpret_cast<I>(_mm256_dpbusd_epi32(reinterpret_cast<__m256i>(sum), x.v, _mm256_set1_epi32(w)));
    } else {
        return reinterpret_cast<I>(_mm_dpbusd_epi32(reinterpret_cast<__m128i>(sum), x.v, _mm_set1_epi32(w)));
    }
}

alignas(64) static const uint8_t kInterleave16[64] = {
    0,  16, 32, 48, 1,  17, 33, 49, 2,  18, 34, 50, 3,  19, 35, 51, 4,  20, 36, 52, 5,  21,
    37, 53, 6,  22, 38, 54, 7,  23, 39, 55, 8,  24, 40, 56, 9,  25, 41, 57, 10, 26, 42, 58,
    11, 27, 43, 59, 12, 28, 44, 60, 13, 29, 45, 61, 14, 30, 46, 62, 15, 31, 47, 63};
alignas(32) static const uint8_t kInterleave8[32] = {0, 8,  16, 24, 1, 9,  17, 25, 2, 10, 18, 26, 3, 11, 19, 27,
                                                     4, 12, 20, 28, 5, 13, 21, 29, 6, 14, 22, 30, 7, 15, 23, 31};
alignas(16) static const uint8_t kInterleave4[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};

// Four rows of L bytes, as quads: lane t holds byte t of each. `index` holds twice the numbers of the rows: with L = 16
// that makes the address in one instruction, whose scale goes up to 8.
template <int L>
TICKET_INLINE Quads<L> gather_rows(const uint8_t *x, const uint16_t *index) {
    const uint8_t *p0 = x + size_t{index[0]} * (L / 2), *p1 = x + size_t{index[1]} * (L / 2);
    const uint8_t *p2 = x + size_t{index[2]} * (L / 2), *p3 = x + size_t{index[3]} * (L / 2);
    if constexpr (L == 16) {
        __m512i v = _mm512_castsi128_si512(_mm_load_si128(reinterpret_cast<const __m128i *>(p0)));
        v = _mm512_inserti32x4(v, _mm_load_si128(reinterpret_cast<const __m128i *>(p1)), 1);
        v = _mm512_inserti32x4(v, _mm_load_si128(reinterpret_cast<const __m128i *>(p2)), 2);
        v = _mm512_inserti32x4(v, _mm_load_si128(reinterpret_cast<const __m128i *>(p3)), 3);
        return {_mm512_permutexvar_epi8(_mm512_load_si512(kInterleave16), v)};
    } else if constexpr (L == 8) {
        int64_t r[4];
        std::memcpy(&r[0], p0, 8), std::memcpy(&r[1], p1, 8), std::memcpy(&r[2], p2, 8), std::memcpy(&r[3], p3, 8);
        __m128i low = _mm_insert_epi64(_mm_cvtsi64_si128(r[0]), r[1], 1);
        __m128i high = _mm_insert_epi64(_mm_cvtsi64_si128(r[2]), r[3], 1);
        __m256i v = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
        return {_mm256_permutexvar_epi8(_mm256_load_si256(reinterpret_cast<const __m256i *>(kInterleave8)), v)};
    } else {
        int32_t r[4];
        std::memcpy(&r[0], p0, 4), std::memcpy(&r[1], p1, 4), std::memcpy(&r[2], p2, 4), std::memcpy(&r[3], p3, 4);
        __m128i v = _mm_insert_epi32(_mm_cvtsi32_si128(r[0]), r[1], 1);
        v = _mm_insert_epi32(_mm_insert_epi32(v, r[2], 2), r[3], 3);
        return {_mm_shuffle_epi8(v, _mm_load_si128(reinterpret_cast<const __m128i *>(kInterleave4)))};
    }
}

// Write the numbers 0 ... 255 in L lanes as bytes.
template <int L>
TICKET_INLINE void store_bytes(uint8_t *p, typename Vec<L>::I x) {
    if constexpr (L == 16) {
        _mm_storeu_si128(reinterpret_cast<__m128i *>(p), _mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(x)));
    } else if constexpr (L == 8) {
        _mm_storel_epi64(reinterpret_cast<__m128i *>(p), _mm256_cvtepi32_epi8(reinterpret_cast<__m256i>(x)));
    } else {
        const int32_t four = _mm_cvtsi128_si32(_mm_cvtepi32_epi8(reinterpret_cast<__m128i>(x)));
        std::memcpy(p, &four, 4);
    }
}

// Write 64 bytes: those of `values` where a bit is set, in order, and zeros elsewhere.
TICKET_INLINE void expand64(uint64_t bits, const uint8_t *values, uint8_t *out) {
    _mm512_store_si512(out, _mm512_maskz_expand_epi8(bits, _mm512_loadu_si512(values)));
}

template <>
TICKET_ALWAYS_INLINE Vec<16>::F exp_vector<16>(Vec<16>::F x) {
    typedef Vec<16>::F F;
    x = max_of(x, -87.0f - F{});
    F whole = x * kLog2OfE + kRounder - kRounder;
    F power = exp2_fraction(x * kLog2OfE - whole);
    return reinterpret_cast<F>(_mm512_scalef_ps(reinterpret_cast<__m512>(power), reinterpret_cast<__m512>(whole)));
}

// The estimate of a reciprocal is good to 2^-14, one step of Newton's method to the last place; a division takes 3x as
// long.
template <>
TICKET_ALWAYS_INLINE Vec<16>::F sigmoid_vector<16>(Vec<16>::F x) {
    typedef Vec<16>::F F;
    F divisor = 1.0f + exp_vector<16>(min_of(-x, 87.0f - F{}));
    F estimate = reinterpret_cast<F>(_mm512_rcp14_ps(reinterpret_cast<__m512>(divisor)));
    return estimate * (2.0f - divisor * estimate);
}

}  // namespace TICKET_ISA
