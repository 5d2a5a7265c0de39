// Matrix products: a packed matrix times the frames of some tiles.
//
// Activations lie [channel][frame], L frames of one tile side by side, so that a weight multiplies a whole row and no
// kernel ever transposes. A weight is read once for all tiles of a call.
//
// int8: activations are quantised for each frame by itself, to q = round(x / scale) + zero, 0..255; the sums over
// columns of weight * q are exact in 32 bits on every processor. Where a processor has no instruction for sums of 8-bit
// products, they are taken in float: exact too, as long as fewer than kExactColumns are added up at a time.
#pragma once

#include "model.h"
#include "vectors.h"

namespace TICKET_ISA {

using ticket::Activations;
using ticket::Format;
using ticket::Group;
using ticket::Packed;
using ticket::Sink;

// 512 * 255 * 127 < 2^24
constexpr uint32_t kExactColumns = 512;

template <int L>
struct Sums {
    typename Row<L>::I v[Row<L>::R];
};

template <int L>
TICKET_INLINE Sums<L> to_sums(Row<L> x) {
    Sums<L> out;
    TICKET_UNROLL
    for (int r = 0; r < Row<L>::R; r++) out.v[r] = __builtin_convertvector(x.v[r], typename Row<L>::I);
    return out;
}
template <int L>
TICKET_INLINE Row<L> to_row(Sums<L> x) {
    Row<L> out;
    TICKET_UNROLL
    for (int r = 0; r < Row<L>::R; r++) out.v[r] = __builtin_convertvector(x.v[r], typename Row<L>::F);
    return out;
}
template <int L>
TICKET_INLINE void add_sums(Sums<L> &a, Sums<L> b) {
    TICKET_UNROLL
    for (int r = 0; r < Row<L>::R; r++) a.v[r] += b.v[r];
}

// Hands over the finished rows of a product. It holds copies of all that it needs: the compiler has to assume that a
// vector stored anywhere may change a Sink.
template <int L>
class Finish {
public:
    Finish(const Packed &m, const Activations &x, const Sink &sink)
        : bias_(m.bias.data()),
          scale_(m.scale.data()),
          offset_(m.offset.data()),
          steps_(x.steps),
          out_(sink.out),
          tile_floats_(sink.tile_floats),
          first_rest_(sink.first_rest),
          rest_(sink.rest),
          integers_(sink.integers),
          kind_(sink.kind) {}

    TICKET_ALWAYS_INLINE void operator()(uint32_t tile, uint32_t row, Row<L> y) const {
        float *out = out_ + tile * tile_floats_ + size_t{row} * L;
        y = y + bias_[row];
        if (kind_ == Sink::silu) {
            store<L>(out, silu<L>(y));
        } else if (kind_ == Sink::add) {
            store<L>(out, load<L>(out) + y);
        } else if (kind_ == Sink::split && row >= first_rest_) {
            store<L>(rest_[tile] + size_t{row - first_rest_} * L, y);
        } else {
            store<L>(out, y);
        }
    }

    TICKET_ALWAYS_INLINE void operator()(uint32_t tile, uint32_t row, Sums<L> sums) const {
        if (__builtin_expect(integers_ != nullptr, 0)) {
            std::memcpy(integers_ + tile * tile_floats_ + size_t{row} * L, &sums, sizeof sums);
            return;
        }
        const float *step = steps_ + tile * 2 * L;
        Row<L> y = load<L>(step + L) * offset_[row];
        accumulate<L>(y, to_row<L>(sums), load<L>(step) * scale_[row]);
        (*this)(tile, row, y);
    }

private:
    const float *bias_, *scale_, *offset_, *steps_;
    float *out_;
    size_t tile_floats_;
    uint32_t first_rest_;
    float *const *rest_;
    int32_t *integers_;
    Sink::Kind kind_;
};

template <int L>
TICKET_INLINE const float *float_tile(const Activations &x, uint32_t tile) {
    return reinterpret_cast<const float *>(x.data + tile * x.tile_bytes);
}

template <typename T>
TICKET_INLINE const T *values_of(const Packed &m) {
    return reinterpret_cast<const T *>(m.values.data());
}

// Float products: values of type float, or int8 with quantised activations held as floats. --------------------------

TICKET_INLINE float number(float value) { return value; }
TICKET_INLINE float number(int8_t value) { return ticket::kFloatOfByte[static_cast<uint8_t>(value)]; }

// Four weights as floats.
template <typename T>
struct Four {
#if TICKET_LANES == 4
    // Converted at once; an element is spread from there, or multiplied with as it is (NEON).
    typename Vec<4>::F v;
    TICKET_ALWAYS_INLINE explicit Four(const T *p) {
        typedef T Narrow __attribute__((vector_size(4 * sizeof(T)), aligned(sizeof(T)), may_alias));
        v = __builtin_convertvector(*reinterpret_cast<const Narrow *>(p), typename Vec<4>::F);
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

// int8 products -------------------------------------------------------------------------------------------------------

#if defined(TICKET_HAS_DOT4)

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

template <int L>
TICKET_INLINE void dense_panel(const Packed &m, const Activations &x, uint32_t num_tiles, const Finish<L> &finish,
                               uint32_t first, const int8_t *panel) {
    const uint32_t num_quads = (m.cols + 3) / 4;
    for (uint32_t tile = 0; tile < num_tiles; tile++) {
        const uint8_t *p = x.data + tile * x.tile_bytes;
        const int8_t *w = panel;
        Sums<L> sums[TICKET_PANEL] = {};
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

#else

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

template <int L>
static void csr_i8(const Packed &m, const Activations &x, uint32_t num_tiles, const Sink &sink) {
#if defined(TICKET_HAS_ROWS4)
    sparse_i8<L, 1, 4, 4, 4>(m, x, num_tiles, sink, csr_rows<L, 4>, csr_rows<L, 1>);
#else
    sparse_float<L, false, int8_t>(m, x, num_tiles, sink);
#endif
}

template <int L>
static void dense_i8(const Packed &m, const Activations &x, uint32_t num_tiles, const Sink &sink) {
    const Finish<L> finish(m, x, sink);
    const size_t panel_bytes = ticket::round_quads(m.cols) * TICKET_PANEL;
    const int8_t *panel = values_of<int8_t>(m);
    for (uint32_t first = 0; first < m.rows; first += TICKET_PANEL, panel += panel_bytes) {
        dense_panel<L>(m, x, num_tiles, finish, first, panel);
    }
}

// `scratch` holds one panel, which is unpacked before it is multiplied.
template <int L>
static void bitmask_i8(const Packed &m, const Activations &x, uint32_t num_tiles, const Sink &sink, uint8_t *scratch) {
    const Finish<L> finish(m, x, sink);
    const size_t panel_bytes = ticket::round_quads(m.cols) * TICKET_PANEL;
    const uint64_t *bits = m.bits.data();
    const uint8_t *values = m.values.data();
    for (uint32_t first = 0; first < m.rows; first += TICKET_PANEL) {
        for (size_t at = 0; at < panel_bytes; at += 64, bits++) {
#if defined(TICKET_HAS_EXPAND)
            expand64(*bits, values, scratch + at);
            values += __builtin_popcountll(*bits);
#else
            std::memset(scratch + at, 0, 64);
            for (uint64_t rest = *bits; rest != 0; rest &= rest - 1) scratch[at + __builtin_ctzll(rest)] = *values++;
#endif
        }
        dense_panel<L>(m, x, num_tiles, finish, first, reinterpret_cast<const int8_t *>(scratch));
    }
}

template <int L>
static void product(const Packed &m, const Activations &x, uint32_t num_tiles, const Sink &sink, uint8_t *scratch) {
    switch (m.format) {
        case Format::dense_f32:
            return dense_f32<L>(m, x, num_tiles, sink);
        case Format::dense_i8:
            return dense_i8<L>(m, x, num_tiles, sink);
        case Format::csr_f32:
            return sparse_float<L, false, float>(m, x, num_tiles, sink);
        case Format::csr_i8:
            return csr_i8<L>(m, x, num_tiles, sink);
        case Format::bitmask_i8:
            return bitmask_i8<L>(m, x, num_tiles, sink, scratch);
        case Format::block1x4_f32:
            return sparse_float<L, true, float>(m, x, num_tiles, sink);
        case Format::block1x4_i8:
            return block1x4_i8<L>(m, x, num_tiles, sink);
        case Format::block4x4_i8:
            return block4x4_i8<L>(m, x, num_tiles, sink);
    }
}

// How a matrix wants its activations.
enum class Layout {
    floats,     // float [cols][L]
    integers,   // quantised, as floats [cols][L]
    bytes,      // quantised, uint8 [cols][L]
    quads,      // quantised, uint8 [cols / 4][L][4]
};

TICKET_INLINE Layout layout_of(Format format) {
    switch (format) {
        case Format::dense_f32:
        case Format::csr_f32:
        case Format::block1x4_f32:
            return Layout::floats;
        case Format::csr_i8:
#if defined(TICKET_HAS_ROWS4)
            return Layout::bytes;
#else
            return Layout::integers;
#endif
        default:
#if defined(TICKET_HAS_DOT4)
            return Layout::quads;
#else
            return Layout::integers;
#endif
    }
}

}  // namespace TICKET_ISA
