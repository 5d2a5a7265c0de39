// int8 products with instructions that add up four products of 8-bit numbers. Activations are unsigned, weights signed,
// sums exact in 32 bits.
#pragma once

#include "finish.h"

namespace TICKET_ISA {

using ticket::kBlockRowsOfSet;
using ticket::kRowsOfSet;

template <int L>
struct QuadRow {
    Quads<Row<L>::W> v[Row<L>::R];
};
template <int L>
TICKET_INLINE QuadRow<L> load_quad_row(const uint8_t *p) {
    QuadRow<L> out;
    TICKET_UNROLL
    for (int r = 0; r < Row<L>::R; r++) out.v[r] = load_quads<Row<L>::W>(p + r * Row<L>::W * 4);
    return out;
}
template <int L>
TICKET_INLINE void accumulate(Sums<L> &sums, QuadRow<L> x, const int8_t *weights) {
    TICKET_UNROLL
    for (int r = 0; r < Row<L>::R; r++) sums.v[r] = dot4<Row<L>::W>(sums.v[r], x.v[r], weights);
}

// What the sums of a row start with.
template <int L>
TICKET_INLINE Sums<L> start_of(const Packed &m, uint32_t row) {
    Sums<L> out = {};
#if defined(TICKET_ACTIVATION_SHIFT)
    if (row < m.rows) {
        TICKET_UNROLL
        for (int r = 0; r < Row<L>::R; r++) out.v[r] += TICKET_ACTIVATION_SHIFT * m.sums[row];
    }
#else
    (void)m, (void)row;
#endif
    return out;
}

template <int L>
TICKET_INLINE void dense_panel(const Packed &m, const Activations &x, uint32_t num_tiles, const Tiles &out,
                               uint32_t first, const int8_t *panel) {
    const uint32_t num_quads = (m.cols + 3) / 4;
    const uint32_t num_rows = m.rows - first < TICKET_PANEL ? m.rows - first : TICKET_PANEL;
    for (uint32_t tile = 0; tile < num_tiles; tile++) {
        const uint8_t *p = x.data + tile * x.tile_bytes;
        const int8_t *w = panel;
        Sums<L> sums[TICKET_PANEL];
        TICKET_UNROLL
        for (int j = 0; j < TICKET_PANEL; j++) sums[j] = start_of<L>(m, first + j);
        for (uint32_t k = 0; k < num_quads; k++, p += 4 * L, w += 4 * TICKET_PANEL) {
            // Further ahead than the processor's own prefetching, which starts anew at every page.
            __builtin_prefetch(w + 1024);
            QuadRow<L> quads = load_quad_row<L>(p);
            TICKET_UNROLL
            for (int j = 0; j < TICKET_PANEL; j++) accumulate<L>(sums[j], quads, w + 4 * j);
        }
        float *rows = out.data + tile * out.tile_floats + size_t{first} * L;
        TICKET_UNROLL
        for (uint32_t j = 0; j < TICKET_PANEL; j++) {
            if (j < num_rows) store<L>(rows + j * L, sums[j]);
        }
    }
}

// The sums of the rows of a set, whose entries alternate: together, because one row's sum would wait for itself.
template <int L>
TICKET_INLINE void block1x4_set(const uint8_t *x, const uint16_t *index, const int8_t *values, uint32_t length,
                                Sums<L> *sums) {
    for (uint32_t k = 0; k < length; k++, index += kRowsOfSet, values += 4 * kRowsOfSet) {
        TICKET_UNROLL
        for (uint32_t n = 0; n < kRowsOfSet; n++) {
            accumulate<L>(sums[n], load_quad_row<L>(x + size_t{index[n]} * 4 * L), values + 4 * n);
        }
    }
}

// The same of blocks, as many rows at once as there are registers for.
template <int L>
TICKET_INLINE void block4x4_set(const uint8_t *x, const uint16_t *index, const int8_t *values, uint32_t length,
                                Sums<L> *sums) {
    constexpr uint32_t kTogether = TICKET_PANEL >= 4 * kBlockRowsOfSet ? kBlockRowsOfSet : 1;
    for (uint32_t first = 0; first < kBlockRowsOfSet; first += kTogether) {
        for (uint32_t k = 0; k < length; k++) {
            TICKET_UNROLL
            for (uint32_t n = first; n < first + kTogether; n++) {
                const size_t at = size_t{k} * kBlockRowsOfSet + n;
                QuadRow<L> quads = load_quad_row<L>(x + size_t{index[at]} * 4 * L);
                TICKET_UNROLL
                for (uint32_t j = 0; j < 4; j++) accumulate<L>(sums[4 * n + j], quads, values + 16 * at + 4 * j);
            }
        }
    }
}

#if defined(TICKET_HAS_ROWS4)
template <int L>
TICKET_INLINE void csr_set(const uint8_t *x, const uint16_t *index, const int8_t *values, uint32_t length,
                           Sums<L> *sums) {
    for (uint32_t k = 0; k < length; k++, index += 4 * kRowsOfSet, values += 4 * kRowsOfSet) {
        TICKET_UNROLL
        for (uint32_t n = 0; n < kRowsOfSet; n++) {
            sums[n].v[0] = dot4<L>(sums[n].v[0], gather_rows<L>(x, index + 4 * n), values + 4 * n);
        }
    }
}
#endif

// Run `add_set` over all sets. kHeight: outputs of a row (of blocks).
template <int L, uint32_t kHeight, uint32_t kRows, uint32_t kIndices, uint32_t kValues, typename AddSet>
TICKET_INLINE void sparse_i8(const Packed &m, const Activations &x, uint32_t num_tiles, const Tiles &out,
                             AddSet add_set) {
    const uint16_t *index = m.index.data(), *order = m.order.data();
    const int8_t *values = values_of<int8_t>(m);
    const uint32_t num_rows = m.rows;
    for (size_t g = 0; g < m.groups.size(); g++) {
        const Group group = m.groups[g];
        for (uint32_t i = 0; i < group.num_sets; i++) {
            for (uint32_t tile = 0; tile < num_tiles; tile++) {
                Sums<L> sums[kRows * kHeight];
                TICKET_UNROLL
                for (uint32_t n = 0; n < kRows * kHeight; n++) {
                    sums[n] = start_of<L>(m, order[n / kHeight] * kHeight + n % kHeight);
                }
                add_set(x.data + tile * x.tile_bytes, index, values, group.length, sums);
                float *rows = out.data + tile * out.tile_floats;
                TICKET_UNROLL
                for (uint32_t n = 0; n < kRows * kHeight; n++) {
                    const uint32_t row = order[n / kHeight] * kHeight + n % kHeight;
                    if (kHeight == 1 || row < num_rows) store<L>(rows + size_t{row} * L, sums[n]);
                }
            }
            order += kRows;
            index += size_t{group.length} * kRows * kIndices;
            values += size_t{group.length} * kRows * kValues;
        }
    }
}

template <int L>
static void block1x4_i8(const Packed &m, const Activations &x, uint32_t num_tiles, const Tiles &out) {
    sparse_i8<L, 1, kRowsOfSet, 1, 4>(m, x, num_tiles, out, block1x4_set<L>);
}

template <int L>
static void block4x4_i8(const Packed &m, const Activations &x, uint32_t num_tiles, const Tiles &out) {
    sparse_i8<L, 4, kBlockRowsOfSet, 1, 16>(m, x, num_tiles, out, block4x4_set<L>);
}

}  // namespace TICKET_ISA
