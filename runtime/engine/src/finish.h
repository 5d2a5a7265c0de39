// The two halves of a product: its kernel writes sums, and whoever asked for it turns them into numbers, row by row, in
// a loop that does with them what comes next.
#pragma once

#include "model.h"
#include "vectors.h"

namespace TICKET_ISA {

using ticket::Activations;
using ticket::Format;
using ticket::Group;
using ticket::Packed;
using ticket::Tiles;

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

// Integer sums stand where the numbers will that become of them.
template <int L>
TICKET_INLINE Sums<L> load_sums(const float *p) {
    Sums<L> out;
    TICKET_UNROLL
    for (int r = 0; r < Row<L>::R; r++) out.v[r] = *reinterpret_cast<const typename Row<L>::I *>(p + r * Row<L>::W);
    return out;
}
template <int L>
TICKET_INLINE void store(float *p, Sums<L> x) {
    TICKET_UNROLL
    for (int r = 0; r < Row<L>::R; r++) *reinterpret_cast<typename Row<L>::I *>(p + r * Row<L>::W) = x.v[r];
}

// The numbers of a product, from its sums for one tile. It holds copies of all that it needs: the compiler has to
// assume that a vector stored anywhere may change an object.
template <int L, bool kIsInt8>
class Finished {
public:
    static constexpr bool kIsRounded = kIsInt8;

    Finished(const Packed &m, const Activations &x, uint32_t tile, const float *sums)
        : bias_(m.bias.data()), scale_(m.scale.data()), offset_(m.offset.data()), sums_(sums) {
        if constexpr (kIsInt8) {
            step_ = load<L>(x.steps + tile * 2 * L);
            zero_ = load<L>(x.steps + tile * 2 * L + L);
        }
    }
    TICKET_ALWAYS_INLINE Row<L> operator()(uint32_t row) const {
        const float *sums = sums_ + size_t{row} * L;
        if constexpr (kIsInt8) {
            Row<L> y = same<L>(bias_[row]);
            accumulate<L>(y, offset_[row], zero_);
            accumulate<L>(y, to_row<L>(load_sums<L>(sums)) * scale_[row], step_);
            return y;
        } else {
            return load<L>(sums) + bias_[row];
        }
    }

private:
    const float *bias_, *scale_, *offset_, *sums_;
    Row<L> step_, zero_;
};

// Call use(Finished) for one tile.
template <int L, typename Use>
TICKET_INLINE void finish(const Packed &m, const Activations &x, uint32_t tile, const float *sums, Use use) {
    if (ticket::is_int8(m.format)) {
        use(Finished<L, true>(m, x, tile, sums));
    } else {
        use(Finished<L, false>(m, x, tile, sums));
    }
}

template <int L>
TICKET_INLINE const float *float_tile(const Activations &x, uint32_t tile) {
    return reinterpret_cast<const float *>(x.data + tile * x.tile_bytes);
}

template <typename T>
TICKET_INLINE const T *values_of(const Packed &m) {
    return reinterpret_cast<const T *>(m.values.data());
}

}  // namespace TICKET_ISA
