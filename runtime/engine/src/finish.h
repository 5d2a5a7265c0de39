// The end of every product: sums become numbers, and go where the step wants them.
#pragma once

#include "model.h"
#include "vectors.h"

namespace TICKET_ISA {

using ticket::Activations;
using ticket::Format;
using ticket::Group;
using ticket::Packed;
using ticket::Sink;

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

    TICKET_ALWAYS_INLINE void operator()(uint32_t tile, uint32_t row, Row<L> sums) const {
        put(tile, row, sums + bias_[row]);
    }

    TICKET_ALWAYS_INLINE void operator()(uint32_t tile, uint32_t row, Sums<L> sums) const {
        if (__builtin_expect(integers_ != nullptr, 0)) {
            std::memcpy(integers_ + tile * tile_floats_ + size_t{row} * L, &sums, sizeof sums);
            return;
        }
        const float *step = steps_ + tile * 2 * L;
        Row<L> y = same<L>(bias_[row]);
        accumulate<L>(y, offset_[row], load<L>(step + L));
        accumulate<L>(y, to_row<L>(sums), load<L>(step) * scale_[row]);
        put(tile, row, y);
    }

private:
    TICKET_ALWAYS_INLINE void put(uint32_t tile, uint32_t row, Row<L> y) const {
        float *out = out_ + tile * tile_floats_ + size_t{row} * L;
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

}  // namespace TICKET_ISA
