// Products in float: of float weights, and of int8 ones where a processor has no instruction for 8-bit products.
//
// In the second case activations are quantised all the same, and held as floats: the sums of whole numbers are exact as
// long as fewer than kExactColumns are added up at a time, so the result is that of integer instructions.
#pragma once

#include "finish.h"

namespace TICKET_ISA {

using ticket::kRowsOfSet;

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

// The sums of the rows of a set over `length` quads of entries: columns index[0 ... 3], or four neighbouring ones from
// 4 * index[0] on.
template <int L, bool kIsBlock, typename T>
TICKET_INLINE void sparse_set(const float *x, const uint16_t *index, const T *values, uint32_t length, Row<L> *sums) {
    constexpr uint32_t kIndices = kIsBlock ? 1 : 4;
    // Where a row is one register, the sums of a set are too few to keep the processor busy.
    constexpr uint32_t kParts = Row<L>::R == 1 ? 2 : 1;
    Row<L> parts[kRowsOfSet][kParts] = {};
    for (uint32_t i = 0; i < length; i++, index += kIndices * kRowsOfSet, values += 4 * kRowsOfSet) {
        TICKET_UNROLL
        for (uint32_t n = 0; n < kRowsOfSet; n++) {
            const Four<T> w(values + 4 * n);
            TICKET_UNROLL
            for (uint32_t c = 0; c < 4; c++) {
                const size_t at = kIsBlock ? (size_t{index[n]} * 4 + c) * L : size_t{index[4 * n + c]} * (L / 2);
                accumulate<L>(parts[n][c % kParts], w[c], load<L>(x + at));
            }
        }
    }
    TICKET_UNROLL
    for (uint32_t n = 0; n < kRowsOfSet; n++) sums[n] = kParts == 1 ? parts[n][0] : parts[n][0] + parts[n][kParts - 1];
}

template <int L, bool kIsBlock, typename T>
static void sparse_float(const Packed &m, const Activations &x, uint32_t num_tiles, const Tiles &out) {
    constexpr uint32_t kIndices = kIsBlock ? kRowsOfSet : 4 * kRowsOfSet, kValues = 4 * kRowsOfSet;
    const uint16_t *index = m.index.data(), *order = m.order.data();
    const T *values = values_of<T>(m);
    for (size_t g = 0; g < m.groups.size(); g++) {
        const Group group = m.groups[g];
        for (uint32_t i = 0; i < group.num_sets; i++) {
            for (uint32_t tile = 0; tile < num_tiles; tile++) {
                const float *p = float_tile<L>(x, tile);
                float *rows = out.data + tile * out.tile_floats;
                Row<L> part[kRowsOfSet];
                if constexpr (sizeof(T) == 1) {
                    Sums<L> sums[kRowsOfSet] = {};
                    for (uint32_t from = 0; from < group.length; from += kExactColumns / 4) {
                        const uint32_t rest = group.length - from;
                        const uint32_t length = rest < kExactColumns / 4 ? rest : kExactColumns / 4;
                        sparse_set<L, kIsBlock>(p, index + size_t{from} * kIndices, values + size_t{from} * kValues,
                                                length, part);
                        for (uint32_t n = 0; n < kRowsOfSet; n++) add_sums<L>(sums[n], to_sums<L>(part[n]));
                    }
                    for (uint32_t n = 0; n < kRowsOfSet; n++) store<L>(rows + size_t{order[n]} * L, sums[n]);
                } else {
                    sparse_set<L, kIsBlock>(p, index, values, group.length, part);
                    for (uint32_t n = 0; n < kRowsOfSet; n++) store<L>(rows + size_t{order[n]} * L, part[n]);
                }
            }
            order += kRowsOfSet;
            index += size_t{group.length} * kIndices;
            values += size_t{group.length} * kValues;
        }
    }
}

template <int L>
static void dense_f32(const Packed &m, const Activations &x, uint32_t num_tiles, const Tiles &out) {
    for (uint32_t first = 0; first < m.rows; first += TICKET_PANEL) {
        const float *panel = values_of<float>(m) + size_t{first} * m.cols;
        const uint32_t num_rows = m.rows - first < TICKET_PANEL ? m.rows - first : TICKET_PANEL;
        for (uint32_t tile = 0; tile < num_tiles; tile++) {
            const float *p = float_tile<L>(x, tile), *w = panel;
            Row<L> sums[TICKET_PANEL] = {};
            for (uint32_t k = 0; k < m.cols; k++, p += L, w += TICKET_PANEL) {
                Row<L> row = load<L>(p);
                TICKET_UNROLL
                for (int j = 0; j < TICKET_PANEL; j++) accumulate<L>(sums[j], w[j], row);
            }
            float *rows = out.data + tile * out.tile_floats + size_t{first} * L;
            TICKET_UNROLL
            for (uint32_t j = 0; j < TICKET_PANEL; j++) {
                if (j < num_rows) store<L>(rows + j * L, sums[j]);
            }
        }
    }
}

#if !defined(TICKET_HAS_DOT4)

static_assert(TICKET_PANEL == 4, "the panels of these kernels have four rows");

template <int L>
TICKET_INLINE void dense_panel(const Packed &m, const Activations &x, uint32_t num_tiles, const Tiles &out,
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
        float *rows = out.data + tile * out.tile_floats + size_t{first} * L;
        TICKET_UNROLL
        for (uint32_t j = 0; j < TICKET_PANEL; j++) {
            if (first + j < m.rows) store<L>(rows + j * L, sums[j]);
        }
    }
}

template <int L>
static void block1x4_i8(const Packed &m, const Activations &x, uint32_t num_tiles, const Tiles &out) {
    sparse_float<L, true, int8_t>(m, x, num_tiles, out);
}

template <int L>
static void block4x4_i8(const Packed &m, const Activations &x, uint32_t num_tiles, const Tiles &out) {
    constexpr uint32_t kSet = ticket::kBlockRowsOfSet;
    const uint16_t *index = m.index.data(), *order = m.order.data();
    const int8_t *values = values_of<int8_t>(m);
    for (size_t g = 0; g < m.groups.size(); g++) {
        const Group group = m.groups[g];
        for (uint32_t i = 0; i < group.num_sets * kSet; i++) {
            const uint32_t first = 4 * uint32_t{order[i]};
            for (uint32_t tile = 0; tile < num_tiles; tile++) {
                const float *p = float_tile<L>(x, tile);
                Sums<L> sums[4] = {};
                for (uint32_t from = 0; from < group.length; from += kExactColumns / 4) {
                    const uint32_t rest = group.length - from;
                    const uint32_t to = from + (rest < kExactColumns / 4 ? rest : kExactColumns / 4);
                    Row<L> part[4] = {};
                    for (uint32_t k = from; k < to; k++) {
                        const size_t at = size_t{k} * kSet + i % kSet;
                        const float *row = p + size_t{index[at]} * 4 * L;
                        const int8_t *w = values + 16 * at;
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
                for (uint32_t j = 0; j < 4; j++) {
                    if (first + j < m.rows) {
                        store<L>(out.data + tile * out.tile_floats + size_t{first + j} * L, sums[j]);
                    }
                }
            }
            if (i % kSet == kSet - 1) {
                index += size_t{group.length} * kSet;
                values += 16 * size_t{group.length} * kSet;
            }
        }
        order += group.num_sets * kSet;
    }
}

#endif

}  // namespace TICKET_ISA
