// int8 products with instructions that add up four products of 8-bit numbers. Activations are unsigned, weights signed,
// sums exact in 32 bits.
#pragma once

#include "finish.h"

namespace TICKET_ISA {

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
TICKET_INLINE void dense_panel(const Packed &m, const Activations &x, uint32_t num_tiles, const Finish<L> &finish,
                               uint32_t first, const int8_t *panel) {
    const uint32_t num_quads = (m.cols + 3) / 4;
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
        TICKET_UNROLL
        for (int j = 0; j < TICKET_PANEL; j++) {
            if (first + j < m.rows) finish(tile, first + j, sums[j]);
        }
    }
}

// N rows of one group, which have the same length: together, because one row's sum would wait for itself.
template <int L, int N>
TICKET_INLINE void block1x4_rows(const uint8_t *x, const uint16_t *index, const int8_t *values, uint32_t length,
                                 Sums<L> *sums) {
    for (uint32_t k = 0; k < length; k++) {
        TICKET_UNROLL
        for (int n = 0; n < N; n++) {
            const size_t at = size_t{length} * n + k;
            accumulate<L>(sums[n], load_quad_row<L>(x + size_t{index[at]} * 4 * L), values + 4 * at);
        }
    }
}

template <int L, int N>
TICKET_INLINE void block4x4_rows(const uint8_t *x, const uint16_t *index, const int8_t *values, uint32_t length,
                                 Sums<L> *sums) {
    for (uint32_t k = 0; k < length; k++) {
        TICKET_UNROLL
        for (int n = 0; n < N; n++) {
            const size_t at = size_t{length} * n + k;
            QuadRow<L> quads = load_quad_row<L>(x + size_t{index[at]} * 4 * L);
            TICKET_UNROLL
            for (int j = 0; j < 4; j++) accumulate<L>(sums[4 * n + j], quads, values + 16 * at + 4 * j);
        }
    }
}

#if defined(TICKET_HAS_ROWS4)
template <int L, int N>
TICKET_INLINE void csr_rows(const uint8_t *x, const uint16_t *index, const int8_t *values, uint32_t length,
                            Sums<L> *sums) {
    for (uint32_t k = 0; k < length; k++) {
        TICKET_UNROLL
        for (int n = 0; n < N; n++) {
            const size_t at = 4 * (size_t{length} * n + k);
            sums[n].v[0] = dot4<L>(sums[n].v[0], gather_rows<L>(x, index + at), values + at);
        }
    }
}
#endif

// Run `rows<N>` over all groups: kTogether rows at a time, and then one by one. kHeight: outputs of a row (of blocks).
template <int L, int kHeight, int kTogether, int kIndices, int kValues, typename Many, typename One>
TICKET_INLINE void sparse_i8(const Packed &m, const Activations &x, uint32_t num_tiles, const Sink &sink, Many many,
                             One one) {
    const Finish<L> finish(m, x, sink);
    const uint16_t *index = m.index.data(), *order = m.order.data();
    const int8_t *values = values_of<int8_t>(m);
    const uint32_t num_rows = m.rows;
    for (size_t g = 0; g < m.groups.size(); g++) {
        const Group group = m.groups[g];
        uint32_t i = 0;
        while (i < group.num_rows) {
            const uint32_t count = i + kTogether <= group.num_rows ? kTogether : 1;
            for (uint32_t tile = 0; tile < num_tiles; tile++) {
                const uint8_t *p = x.data + tile * x.tile_bytes;
                Sums<L> sums[kTogether * kHeight] = {};
                TICKET_UNROLL
                for (int n = 0; n < kTogether; n++) {
                    if (n > 0 && count == 1) break;
                    TICKET_UNROLL
                    for (int j = 0; j < kHeight; j++) {
                        sums[n * kHeight + j] = start_of<L>(m, uint32_t{order[n]} * kHeight + j);
                    }
                }
                if (count == kTogether) {
                    many(p, index, values, group.length, sums);
                } else {
                    one(p, index, values, group.length, sums);
                }
                TICKET_UNROLL
                for (int n = 0; n < kTogether; n++) {
                    if (n > 0 && count == 1) break;
                    TICKET_UNROLL
                    for (int j = 0; j < kHeight; j++) {
                        const uint32_t row = uint32_t{order[n]} * kHeight + j;
                        if (kHeight == 1 || row < num_rows) finish(tile, row, sums[n * kHeight + j]);
                    }
                }
            }
            i += count;
            order += count;
            index += size_t{count} * group.length * kIndices;
            values += size_t{count} * group.length * kValues;
        }
    }
}

template <int L>
static void block1x4_i8(const Packed &m, const Activations &x, uint32_t num_tiles, const Sink &sink) {
    sparse_i8<L, 1, 4, 1, 4>(m, x, num_tiles, sink, block1x4_rows<L, 4>, block1x4_rows<L, 1>);
}

template <int L>
static void block4x4_i8(const Packed &m, const Activations &x, uint32_t num_tiles, const Sink &sink) {
    constexpr int kTogether = TICKET_PANEL / 8 == 0 ? 1 : TICKET_PANEL / 8;
    sparse_i8<L, 4, kTogether, 1, 16>(m, x, num_tiles, sink, block4x4_rows<L, kTogether>, block4x4_rows<L, 1>);
}

}  // namespace TICKET_ISA
