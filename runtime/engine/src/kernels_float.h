// Products in float: of float weights, and of int8 ones where a processor has no instruction for 8-bit products.
//
// In the second case activations are quantised all the same, and held as floats: the sums of whole numbers are exact as
// long as fewer than kExactColumns are added up at a time, so the result is that of integer instructions.
#pragma once

#include "finish.h"

namespace TICKET_ISA {

// 512 * 255 * 127 < 2^24
constexpr uint32_t kExactColumns = 512;

TICKET_INLINE float number(float value) { return value; }
TICKET_INLINE float number(int8_t value) { return ticket::kFloatOfByte[static_cast<uint8_t>(value)]; }

// Four weights as floats.
template <typename T>
struct Four {
#if TICKET_LANES == 4
    // Converted at once; an element is spread from there, or multiplied with as it is (NEON).
    typename Vec<4>::F v;
    TICKET_ALWAYS_INLINE explicit Four(const float *p) : v(*reinterpret_cast<const typename Vec<4>::F *>(p)) {}
    TICKET_ALWAYS_INLINE explicit Four(const int8_t *p) {
#if defined(__aarch64__)
        // Each byte to the upper end of a lane, and back with its sign: compilers convert four bytes one by one.
        typedef typename Vec<4>::I I;
        int32_t all;
        std::memcpy(&all, p, 4);
        v = __builtin_convertvector(((all - I{}) << I{24, 16, 8, 0}) >> 24, typename Vec<4>::F);
#else
        typedef int8_t Bytes __attribute__((vector_size(4), aligned(1), may_alias));
        v = __builtin_convertvector(*reinterpret_cast<const Bytes *>(p), typename Vec<4>::F);
#endif
    }
    TICKET_ALWAYS_INLINE float operator[](int i) const { return v[i]; }
#else
    // Spread from memory.
    const T *p;
    TICKET_ALWAYS_INLINE explicit Four(const T *values) : p(values) {}
    TICKET_ALWAYS_INLINE float operator[](int i) const { return number(p[i]); }
#endif
};

// Add `length` quads of a row: columns index[i], or four neighbouring ones from 4 * index[i / 4].
template <int L, bool kIsBlock, typename T>
TICKET_INLINE Row<L> sparse_sum(const float *x, const uint16_t *index, const T *values, uint32_t length) {
    Row<L> a = {}, b = {};
    for (uint32_t i = 0; i < length; i++) {
        const float *p0, *p1, *p2, *p3;
        if (kIsBlock) {
            p0 = x + size_t{index[i]} * 4 * L, p1 = p0 + L, p2 = p1 + L, p3 = p2 + L;
        } else {
            const uint16_t *k = index + 4 * i;
            p0 = x + size_t{k[0]} * (L / 2), p1 = x + size_t{k[1]} * (L / 2);
            p2 = x + size_t{k[2]} * (L / 2), p3 = x + size_t{k[3]} * (L / 2);
        }
        const Four<T> w(values + 4 * size_t{i});
        accumulate<L>(a, w[0], load<L>(p0));
        accumulate<L>(b, w[1], load<L>(p1));
        accumulate<L>(a, w[2], load<L>(p2));
        accumulate<L>(b, w[3], load<L>(p3));
    }
    return a + b;
}

template <int L, bool kIsBlock, typename T>
static void sparse_float(const Packed &m, const Activations &x, uint32_t num_tiles, const Sink &sink) {
    const Finish<L> finish(m, x, sink);
    const uint16_t *index = m.index.data(), *order = m.order.data();
    const T *values = values_of<T>(m);
    for (size_t g = 0; g < m.groups.size(); g++) {
        const Group group = m.groups[g];
        const uint32_t per_quad = kIsBlock ? 1 : 4;
        for (uint32_t i = 0; i < group.num_rows; i++) {
            const uint32_t row = *order++;
            for (uint32_t tile = 0; tile < num_tiles; tile++) {
                const float *tile_x = float_tile<L>(x, tile);
                if constexpr (sizeof(T) == 1) {
                    Sums<L> sums = {};
                    for (uint32_t from = 0; from < group.length; from += kExactColumns / 4) {
                        uint32_t rest = group.length - from;
                        uint32_t length = rest < kExactColumns / 4 ? rest : kExactColumns / 4;
                        add_sums<L>(sums, to_sums<L>(sparse_sum<L, kIsBlock>(tile_x, index + per_quad * from,
                                                                             values + 4 * size_t{from}, length)));
                    }
                    finish(tile, row, sums);
                } else {
                    Row<L> y = sparse_sum<L, kIsBlock>(tile_x, index, values, group.length);
                    finish(tile, row, y);
                }
            }
            index += per_quad * group.length;
            values += 4 * size_t{group.length};
        }
    }
}

template <int L>
static void dense_f32(const Packed &m, const Activations &x, uint32_t num_tiles, const Sink &sink) {
    const Finish<L> finish(m, x, sink);
    for (uint32_t first = 0; first < m.rows; first += TICKET_PANEL) {
        const float *panel = values_of<float>(m) + size_t{first} * m.cols;
        for (uint32_t tile = 0; tile < num_tiles; tile++) {
            const float *p = float_tile<L>(x, tile), *w = panel;
            Row<L> sums[TICKET_PANEL] = {};
            for (uint32_t k = 0; k < m.cols; k++, p += L, w += TICKET_PANEL) {
                Row<L> row = load<L>(p);
                TICKET_UNROLL
                for (int j = 0; j < TICKET_PANEL; j++) accumulate<L>(sums[j], w[j], row);
            }
            TICKET_UNROLL
            for (int j = 0; j < TICKET_PANEL; j++) {
                if (first + j < m.rows) finish(tile, first + j, sums[j]);
            }
        }
    }
}

#if !defined(TICKET_HAS_DOT4)

static_assert(TICKET_PANEL == 4, "the panels of these kernels have four rows");

template <int L>
TICKET_INLINE void dense_panel(const Packed &m, const Activations &x, uint32_t num_tiles, const Finish<L> &finish,
                               uint32_t first, const int8_t *panel) {
    for (uint32_t tile = 0; tile < num_tiles; tile++) {
        const float *p = float_tile<L>(x, tile);
        Sums<L> sums[TICKET_PANEL] = {};
        for (uint32_t from = 0; from < m.cols; from += kExactColumns) {
            const uint32_t to = m.cols - from < kExactColumns ? m.cols : from + kExactColumns;
            Row<L> part[TICKET_PANEL] = {};
            // The last quad may reach beyond the matrix: its weights are zero there, and so are the activations.
            for (uint32_t k = from; k < to; k += 4) {
                const int8_t *w = panel + size_t{k} * TICKET_PANEL;
                const Four<int8_t> rows[4] = {Four<int8_t>(w), Four<int8_t>(w + 4), Four<int8_t>(w + 8),
                                              Four<int8_t>(w + 12)};
                TICKET_UNROLL
                for (int c = 0; c < 4; c++) {
                    Row<L> column = load<L>(p + size_t{k + c} * L);
                    TICKET_UNROLL
                    for (int j = 0; j < 4; j++) accumulate<L>(part[j], rows[j][c], column);
                }
            }
            TICKET_UNROLL
            for (int j = 0; j < TICKET_PANEL; j++) add_sums<L>(sums[j], to_sums<L>(part[j]));
        }
        TICKET_UNROLL
        for (int j = 0; j < TICKET_PANEL; j++) {
            if (first + j < m.rows) finish(tile, first + j, sums[j]);
        }
    }
}

template <int L>
static void block1x4_i8(const Packed &m, const Activations &x, uint32_t num_tiles, const Sink &sink) {
    sparse_float<L, true, int8_t>(m, x, num_tiles, sink);
}

template <int L>
static void block4x4_i8(const Packed &m, const Activations &x, uint32_t num_tiles, const Sink &sink) {
    const Finish<L> finish(m, x, sink);
    const uint16_t *index = m.index.data(), *order = m.order.data();
    const int8_t *values = values_of<int8_t>(m);
    for (size_t g = 0; g < m.groups.size(); g++) {
        const Group group = m.groups[g];
        for (uint32_t i = 0; i < group.num_rows; i++) {
            const uint32_t first = 4 * uint32_t{*order++};
            for (uint32_t tile = 0; tile < num_tiles; tile++) {
                const float *p = float_tile<L>(x, tile);
                Sums<L> sums[4] = {};
                for (uint32_t from = 0; from < group.length; from += kExactColumns / 4) {
                    const uint32_t rest = group.length - from;
                    const uint32_t to = from + (rest < kExactColumns / 4 ? rest : kExactColumns / 4);
                    Row<L> part[4] = {};
                    for (uint32_t k = from; k < to; k++) {
                        const float *row = p + size_t{index[k]} * 4 * L;
                        const int8_t *w = values + 16 * size_t{k};
                        const Four<int8_t> rows[4] = {Four<int8_t>(w), Four<int8_t>(w + 4), Four<int8_t>(w + 8),
                                                      Four<int8_t>(w + 12)};
                        TICKET_UNROLL
                        for (int c = 0; c < 4; c++) {
                            Row<L> column = load<L>(row + c * L);
                            TICKET_UNROLL
                            for (int j = 0; j < 4; j++) accumulate<L>(part[j], rows[j][c], column);
                        }
                    }
                    for (int j = 0; j < 4; j++) add_sums<L>(sums[j], to_sums<L>(part[j]));
                }
                for (int j = 0; j < 4; j++) {
                    if (first + j < m.rows) finish(tile, first + j, sums[j]);
                }
            }
            index += group.length;
            values += 16 * size_t{group.length};
        }
    }
}

#endif

}  // namespace TICKET_ISA
