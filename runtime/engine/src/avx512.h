// What AVX-512 has instructions for: sums of four 8-bit products, the gathering of four rows, exponentials.
#pragma once

#include <immintrin.h>

#define TICKET_HAS_DOT4 1
#define TICKET_HAS_ROWS4 1
#define TICKET_HAS_EXPAND 1
#define TICKET_HAS_BETWEEN 1
#define TICKET_HAS_INT8_ATTENTION 1

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
    // One load instead of four: loads are what this takes most of.
    uint64_t all;
    std::memcpy(&all, index, sizeof all);
    const uint8_t *p0 = x + (all & 0xFFFF) * (L / 2), *p1 = x + (all >> 16 & 0xFFFF) * (L / 2);
    const uint8_t *p2 = x + (all >> 32 & 0xFFFF) * (L / 2), *p3 = x + (all >> 48) * (L / 2);
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

// The same of four rows, one after the other.
template <int L>
TICKET_INLINE void store_bytes4(uint8_t *p, const typename Vec<L>::I *x) {
    if constexpr (L == 16) {
        __m512i ab = _mm512_packus_epi32(reinterpret_cast<__m512i>(x[0]), reinterpret_cast<__m512i>(x[1]));
        __m512i cd = _mm512_packus_epi32(reinterpret_cast<__m512i>(x[2]), reinterpret_cast<__m512i>(x[3]));
        // Packing leaves four bytes of each row in each quarter.
        const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        _mm512_storeu_si512(p, _mm512_permutexvar_epi32(order, _mm512_packus_epi16(ab, cd)));
    } else {
        for (int i = 0; i < 4; i++) store_bytes<L>(p + i * L, x[i]);
    }
}

// Write 64 bytes: those of `values` where a bit is set, in order, and zeros elsewhere.
TICKET_INLINE void expand64(uint64_t bits, const uint8_t *values, uint8_t *out) {
    _mm512_store_si512(out, _mm512_maskz_expand_epi8(bits, _mm512_loadu_si512(values)));
}

// Compilers make two instructions of a comparison and a choice.
template <>
TICKET_ALWAYS_INLINE Vec<16>::F min_of(Vec<16>::F a, Vec<16>::F b) {
    return reinterpret_cast<Vec<16>::F>(_mm512_min_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
}
template <>
TICKET_ALWAYS_INLINE Vec<16>::F max_of(Vec<16>::F a, Vec<16>::F b) {
    return reinterpret_cast<Vec<16>::F>(_mm512_max_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
}

template <>
TICKET_ALWAYS_INLINE Vec<16>::F inverse_sqrt_vector<16>(Vec<16>::F x) {
    return 1.0f / reinterpret_cast<Vec<16>::F>(_mm512_sqrt_ps(reinterpret_cast<__m512>(x)));
}

// 2^x for what is then rounded to 8 bits. Nothing needs clamping: the instructions know infinity.
TICKET_INLINE Vec<16>::F rough_exp2(Vec<16>::F x) {
    typedef Vec<16>::F F;
    constexpr int kLessFloor = 9;
    const F fraction = reinterpret_cast<F>(_mm512_reduce_ps(reinterpret_cast<__m512>(x), kLessFloor));
    return reinterpret_cast<F>(
        _mm512_scalef_ps(reinterpret_cast<__m512>(rough_exp2_fraction(fraction)), reinterpret_cast<__m512>(x)));
}

template <>
TICKET_ALWAYS_INLINE Vec<16>::F exp_vector<16, true>(Vec<16>::F x) {
    return rough_exp2(x * kLog2OfE);
}

template <>
TICKET_ALWAYS_INLINE Vec<16>::F exp_vector<16, false>(Vec<16>::F x) {
    typedef Vec<16>::F F;
    x = max_of(x, -87.0f - F{});
    F whole = x * kLog2OfE + kRounder - kRounder;
    F power = exp2_fraction(x * kLog2OfE - whole);
    return reinterpret_cast<F>(_mm512_scalef_ps(reinterpret_cast<__m512>(power), reinterpret_cast<__m512>(whole)));
}

// The estimate of a reciprocal is good to 2^-14, one step of Newton's method to the last place; a division takes 3x as
// long.
template <>
TICKET_ALWAYS_INLINE Vec<16>::F sigmoid_vector<16, false>(Vec<16>::F x) {
    typedef Vec<16>::F F;
    F divisor = 1.0f + exp_vector<16, false>(min_of(-x, 87.0f - F{}));
    F estimate = reinterpret_cast<F>(_mm512_rcp14_ps(reinterpret_cast<__m512>(divisor)));
    return estimate * (2.0f - divisor * estimate);
}
// The logistic function as 31 parabolas c0 + c1 x + c2 x^2, half a unit wide each, around the multiples of a half. The
// multiple modulo 32 is a parabola's place. Largest error 8e-5, and 4e-4 at either end, where it is made to meet 0 and 1.
alignas(64) static const float kSigmoid0[32] = {
    0.5f, 0.498218f, 0.4896883f, 0.4876463f, 0.5105543f, 0.5620663f, 0.6317152f, 0.7056966f, 0.7739515f, 0.8315446f,
    0.8773368f, 0.9122764f, 0.9381569f, 0.9569081f, 0.9702643f, 0.7612926f, 0.0f, 0.2387076f, 0.02973567f,
    0.04309189f, 0.06184311f, 0.08772359f, 0.1226632f, 0.1684554f, 0.2260485f, 0.2943034f, 0.3682848f, 0.4379338f,
    0.4894457f, 0.5123537f, 0.5103117f, 0.501782f};
alignas(64) static const float kSigmoid1[32] = {
    0.2490288f, 0.2626944f, 0.2863949f, 0.290635f, 0.2649467f, 0.2192405f, 0.1684726f, 0.1227864f, 0.08624517f,
    0.05904039f, 0.03969019f, 0.02633495f, 0.01730465f, 0.0112866f, 0.007318302f, 0.06127201f, 0.0f, 0.06127205f,
    0.007318302f, 0.0112866f, 0.01730465f, 0.02633495f, 0.03969019f, 0.05904039f, 0.08624517f, 0.1227864f,
    0.1684726f, 0.2192405f, 0.2649467f, 0.290635f, 0.2863949f, 0.2626944f};
alignas(64) static const float kSigmoid2[32] = {
    0.0f, -0.02844032f, -0.04502952f, -0.04712319f, -0.03991288f, -0.02976404f, -0.02050645f, -0.01344984f,
    -0.008557362f, -0.005343848f, -0.003299215f, -0.002022763f, -0.001234926f, -0.0007520024f, -0.0004572135f,
    -0.003931687f, 0.0f, 0.00393169f, 0.0004572135f, 0.0007520024f, 0.001234926f, 0.002022763f, 0.003299215f,
    0.005343848f, 0.008557362f, 0.01344984f, 0.02050645f, 0.02976404f, 0.03991288f, 0.04712319f, 0.04502952f,
    0.02844032f};

TICKET_INLINE __m512 look_up(const float *table, __m512i index) {
    return _mm512_permutex2var_ps(_mm512_load_ps(table), index, _mm512_load_ps(table + 16));
}

// Where the result is to be rounded to 8 bits.
template <>
TICKET_ALWAYS_INLINE Vec<16>::F sigmoid_vector<16, true>(Vec<16>::F x) {
    typedef Vec<16>::F F;
    x = min_of(max_of(x, -7.74f - F{}), 7.74f - F{});
    const __m512i index = reinterpret_cast<__m512i>(x * 2.0f + kRounder);
    const F c0 = reinterpret_cast<F>(look_up(kSigmoid0, index)), c1 = reinterpret_cast<F>(look_up(kSigmoid1, index));
    return (reinterpret_cast<F>(look_up(kSigmoid2, index)) * x + c1) * x + c0;
}

// Numbers S ... S + 15 of two rows.
template <int S>
TICKET_INLINE Row<16> between(Row<16> low, Row<16> high) {
    if constexpr (S == 0) return low;
    return {{reinterpret_cast<Vec<16>::F>(
        _mm512_alignr_epi32(reinterpret_cast<__m512i>(high.v[0]), reinterpret_cast<__m512i>(low.v[0]), S))}};
}

}  // namespace TICKET_ISA
