// Sums of four 8-bit products with AVX2, or in one instruction where the processor has AVX-VNNI.
#pragma once

#include <immintrin.h>

#define TICKET_HAS_DOT4 1

namespace TICKET_ISA {

// Four unsigned bytes in each of W 32-bit lanes. Without VNNI they are held as two pairs of 16-bit numbers: the 8-bit
// product of AVX2 saturates its sums, and would make the result depend on the processor.
template <int W>
struct Quads {
    typedef typename Vec<W>::I I;
#if defined(__AVXVNNI__)
    I v;
#else
    I even, odd;
#endif
};

template <int W>
TICKET_INLINE Quads<W> load_quads(const uint8_t *p) {
    typedef typename Vec<W>::I I;
    I x = *reinterpret_cast<const I *>(p);
#if defined(__AVXVNNI__)
    return {x};
#else
    typedef uint32_t U __attribute__((vector_size(W * 4)));
    return {x & 0x00FF00FF, reinterpret_cast<I>(reinterpret_cast<U>(x) >> 8) & 0x00FF00FF};
#endif
}

// sum + the products of four activations (unsigned) with the four weights (signed) at `weights`, in every lane.
template <int W>
TICKET_INLINE typename Vec<W>::I dot4(typename Vec<W>::I sum, Quads<W> x, const int8_t *weights) {
    typedef typename Vec<W>::I I;
    int32_t w;
    std::memcpy(&w, weights, 4);
    if constexpr (W == 8) {
        __m256i all = _mm256_set1_epi32(w);
#if defined(__AVXVNNI__)
        return reinterpret_cast<I>(
            _mm256_dpbusd_avx_epi32(reinterpret_cast<__m256i>(sum), reinterpret_cast<__m256i>(x.v), all));
#else
        __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(all, 8), 8), odd = _mm256_srai_epi16(all, 8);
        __m256i a = _mm256_madd_epi16(reinterpret_cast<__m256i>(x.even), even);
        __m256i b = _mm256_madd_epi16(reinterpret_cast<__m256i>(x.odd), odd);
        return sum + reinterpret_cast<I>(a) + reinterpret_cast<I>(b);
#endif
    } else {
        __m128i all = _mm_set1_epi32(w);
#if defined(__AVXVNNI__)
        return reinterpret_cast<I>(
            _mm_dpbusd_avx_epi32(reinterpret_cast<__m128i>(sum), reinterpret_cast<__m128i>(x.v), all));
#else
        __m128i even = _mm_srai_epi16(_mm_slli_epi16(all, 8), 8), odd = _mm_srai_epi16(all, 8);
        __m128i a = _mm_madd_epi16(reinterpret_cast<__m128i>(x.even), even);
        __m128i b = _mm_madd_epi16(reinterpret_cast<__m128i>(x.odd), odd);
        return sum + reinterpret_cast<I>(a) + reinterpret_cast<I>(b);
#endif
    }
}

}  // namespace TICKET_ISA
