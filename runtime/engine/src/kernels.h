// Matrix products: a packed matrix times the frames of some tiles.
//
// Activations lie [channel][frame], L frames of one tile side by side, so that a weight multiplies a whole row and no
// kernel ever transposes. A weight is read once for all tiles of a call.
//
// int8: activations are quantised for each frame by itself, to q = round(x / step) + zero, 0..255; the sums over
// columns of weight * q are exact on every processor.
#pragma once

#include "kernels_float.h"
#if defined(TICKET_HAS_DOT4)
#include "kernels_dot4.h"
#endif

namespace TICKET_ISA {

template <int L>
static void csr_i8(const Packed &m, const Activations &x, uint32_t num_tiles, const Tiles &out) {
#if defined(TICKET_HAS_ROWS4)
    sparse_i8<L, 1, kRowsOfSet, 4, 4>(m, x, num_tiles, out, csr_set<L>);
#else
    sparse_float<L, false, int8_t>(m, x, num_tiles, out);
#endif
}

template <int L>
static void dense_i8(const Packed &m, const Activations &x, uint32_t num_tiles, const Tiles &out) {
    const size_t panel_bytes = ticket::round_quads(m.cols) * TICKET_PANEL;
    const int8_t *panel = values_of<int8_t>(m);
    for (uint32_t first = 0; first < m.rows; first += TICKET_PANEL, panel += panel_bytes) {
        dense_panel<L>(m, x, num_tiles, out, first, panel);
    }
}

// `scratch` holds one panel, which is unpacked before it is multiplied.
template <int L>
static void bitmask_i8(const Packed &m, const Activations &x, uint32_t num_tiles, const Tiles &out, uint8_t *scratch) {
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
        dense_panel<L>(m, x, num_tiles, out, first, reinterpret_cast<const int8_t *>(scratch));
    }
}

template <int L>
static void product(const Packed &m, const Activations &x, uint32_t num_tiles, const Tiles &out, uint8_t *scratch) {
    switch (m.format) {
        case Format::dense_f32:
            return dense_f32<L>(m, x, num_tiles, out);
        case Format::dense_i8:
            return dense_i8<L>(m, x, num_tiles, out);
        case Format::csr_f32:
            return sparse_float<L, false, float>(m, x, num_tiles, out);
        case Format::csr_i8:
            return csr_i8<L>(m, x, num_tiles, out);
        case Format::bitmask_i8:
            return bitmask_i8<L>(m, x, num_tiles, out, scratch);
        case Format::block1x4_f32:
            return sparse_float<L, true, float>(m, x, num_tiles, out);
        case Format::block1x4_i8:
            return block1x4_i8<L>(m, x, num_tiles, out);
        case Format::block4x4_i8:
            return block4x4_i8<L>(m, x, num_tiles, out);
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
