// Preparing the input of a product: floats as they are, or integers in the order that its kernel reads.
#pragma once

#include "kernels.h"

namespace TICKET_ISA {

constexpr uint32_t kRounderBits = 0x4B400000;  // of kRounder

// The smallest and the largest number of each frame; zero is always among them.
template <int L>
struct Range {
    Row<L> low = {}, high = {};
};

template <int L>
TICKET_INLINE void widen(Range<L> &range, Row<L> x) {
    range.low = min<L>(x, range.low);
    range.high = max<L>(x, range.high);
}

// Four chains at a time: one would wait for itself.
template <int L, typename Get>
TICKET_INLINE Range<L> range_of(uint32_t num_rows, Get get) {
    Range<L> part[4];
    uint32_t k = 0;
    for (; k + 4 <= num_rows; k += 4) {
        TICKET_UNROLL
        for (int i = 0; i < 4; i++) widen<L>(part[i], get(k + i));
    }
    for (; k < num_rows; k++) widen<L>(part[0], get(k));
    TICKET_UNROLL
    for (int i = 1; i < 4; i++) {
        widen<L>(part[0], part[i].low);
        widen<L>(part[0], part[i].high);
    }
    return part[0];
}

// q = round(x / step) + zero, with step = (high - low) / 254 and zero = round(-low / step): two roundings take the ends
// at most one beyond 0 ... 254, so nothing needs clamping.
template <int L>
class Quantiser {
public:
    Quantiser(Row<L> inverse, Row<L> low) : inverse_(inverse) {
        TICKET_UNROLL
        for (int r = 0; r < Row<L>::R; r++) {
            // Less the bits of kRounder, because the bits of every rounded number hold them too.
            zero_[r] = rounded_bits(-low.v[r], r) - kRounderBits - kRounderBits;
        }
    }
    TICKET_ALWAYS_INLINE Sums<L> operator()(Row<L> x) const {
        Sums<L> out;
        TICKET_UNROLL
        for (int r = 0; r < Row<L>::R; r++) {
            out.v[r] = reinterpret_cast<typename Row<L>::I>(rounded_bits(x.v[r], r) + zero_[r]);
        }
        return out;
    }
    TICKET_ALWAYS_INLINE Row<L> zero_point() const {
        Sums<L> out;
        TICKET_UNROLL
        for (int r = 0; r < Row<L>::R; r++) out.v[r] = reinterpret_cast<typename Row<L>::I>(zero_[r] + kRounderBits);
        return to_row<L>(out);
    }

private:
    typedef typename Row<L>::U U;

    TICKET_ALWAYS_INLINE U rounded_bits(typename Row<L>::F x, int r) const {
        return reinterpret_cast<U>(unfused(x * inverse_.v[r]) + kRounder);
    }

    Row<L> inverse_;
    U zero_[Row<L>::R];
};

// x << count, where the highest bit may come to be set.
template <int L>
TICKET_INLINE typename Row<L>::I shifted(typename Row<L>::I x, int count) {
    return reinterpret_cast<typename Row<L>::I>(reinterpret_cast<typename Row<L>::U>(x) << count);
}

// Write the rows worth * get(0) ... worth * get(num_rows - 1) of one tile in the layout that `format` wants; `range` is
// that of get.
template <int L, typename Get>
TICKET_INLINE void prepare(Format format, uint32_t num_rows, Range<L> range, Row<L> worth, Activations &out,
                           uint32_t tile, Get get) {
    uint8_t *data = out.data + tile * out.tile_bytes;
    const Layout layout = layout_of(format);
    const uint32_t padded = static_cast<uint32_t>(ticket::round_quads(num_rows));
    if (layout == Layout::floats) {
        float *rows = reinterpret_cast<float *>(data);
        for (uint32_t k = 0; k < num_rows; k++) store<L>(rows + size_t{k} * L, get(k) * worth);
        for (uint32_t k = num_rows; k < padded; k++) store<L>(rows + size_t{k} * L, same<L>(0.0f));
        return;
    }
    const Row<L> step = max<L>((range.high - range.low) * (1.0f / 254.0f), same<L>(1e-20f));
    const Quantiser<L> quantise(same<L>(1.0f) / step, range.low);
    store<L>(out.steps + tile * 2 * L, step * worth);
    store<L>(out.steps + tile * 2 * L + L, step * worth * quantise.zero_point());
    typedef Row<L> R;
    if (layout == Layout::quads) {
        uint32_t k = 0;
        for (; k + 4 <= num_rows; k += 4, data += 4 * L) {
            Sums<L> a = quantise(get(k)), b = quantise(get(k + 1));
            Sums<L> c = quantise(get(k + 2)), d = quantise(get(k + 3));
            TICKET_UNROLL
            for (int r = 0; r < R::R; r++) {
                a.v[r] |= b.v[r] << 8 | c.v[r] << 16 | shifted<L>(d.v[r], 24);
                *reinterpret_cast<typename R::I *>(data + r * R::W * 4) = a.v[r];
            }
        }
        if (k < num_rows) {
            Sums<L> all = {};
            for (int shift = 0; k < num_rows; k++, shift += 8) {
                Sums<L> a = quantise(get(k));
                for (int r = 0; r < R::R; r++) all.v[r] |= shifted<L>(a.v[r], shift);
            }
            for (int r = 0; r < R::R; r++) *reinterpret_cast<typename R::I *>(data + r * R::W * 4) = all.v[r];
        }
#if defined(TICKET_HAS_ROWS4)
    } else if (layout == Layout::bytes) {
        uint32_t k = 0;
        for (; k + 4 <= num_rows; k += 4) {
            const typename R::I four[4] = {quantise(get(k)).v[0], quantise(get(k + 1)).v[0], quantise(get(k + 2)).v[0],
                                           quantise(get(k + 3)).v[0]};
            store_bytes4<L>(data + size_t{k} * L, four);
        }
        for (; k < num_rows; k++) store_bytes<L>(data + size_t{k} * L, quantise(get(k)).v[0]);
#endif
    } else {
        float *rows = reinterpret_cast<float *>(data);
        for (uint32_t k = 0; k < num_rows; k++) store<L>(rows + size_t{k} * L, to_row<L>(quantise(get(k))));
        for (uint32_t k = num_rows; k < padded; k++) store<L>(rows + size_t{k} * L, same<L>(0.0f));
    }
}

// The same, where nobody has kept track of the range.
template <int L, typename Get>
TICKET_INLINE void prepare(Format format, uint32_t num_rows, Activations &out, uint32_t tile, Get get) {
    Range<L> range;
    if (layout_of(format) != Layout::floats) range = range_of<L>(num_rows, get);
    prepare<L>(format, num_rows, range, same<L>(1.0f), out, tile, get);
}

// SiLU of a product's rows; returns their range.
template <int L, typename Rows>
TICKET_INLINE Range<L> silu_rows(const Rows &rows, uint32_t num_rows, float *out) {
    Range<L> range;
    for (uint32_t k = 0; k < num_rows; k++) {
        Row<L> y = silu<L, Rows::kIsRounded>(rows(k));
        store<L>(out + size_t{k} * L, y);
        widen<L>(range, y);
    }
    return range;
}

// Bytes that the largest layout of so many rows needs.
template <int L>
TICKET_INLINE size_t prepared_bytes(uint32_t num_rows) {
    return ticket::round_up(ticket::round_quads(num_rows) * L * sizeof(float), ticket::kAlignment);
}

template <int L>
struct Moments {
    Row<L> mean, inverse;  // inverse: 1 / standard deviation
    Range<L> range;        // of the numbers less their mean
};

// Mean and deviation over channels, in two passes: one would lose the digits of a small variance beside a large mean.
template <int L>
TICKET_INLINE Moments<L> moments(const float *x, uint32_t num_rows) {
    Row<L> part[4] = {};
    uint32_t k = 0;
    for (; k + 4 <= num_rows; k += 4) {
        TICKET_UNROLL
        for (int i = 0; i < 4; i++) part[i] = part[i] + load<L>(x + size_t{k + i} * L);
    }
    for (; k < num_rows; k++) part[0] = part[0] + load<L>(x + size_t{k} * L);
    const float share = 1.0f / static_cast<float>(num_rows);
    Moments<L> out;
    out.mean = ((part[0] + part[1]) + (part[2] + part[3])) * share;
    Row<L> squares[4] = {};
    out.range = range_of<L>(num_rows, [&](uint32_t row) {
        Row<L> d = load<L>(x + size_t{row} * L) - out.mean;
        accumulate<L>(squares[row % 4], d, d);
        return d;
    });
    Row<L> variance = ((squares[0] + squares[1]) + (squares[2] + squares[3])) * share;
    out.inverse = inverse_sqrt<L>(variance + 1e-5f);
    return out;
}

}  // namespace TICKET_ISA
