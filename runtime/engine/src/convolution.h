// The convolution over time: gate, filter and norm of one stream's chunk.
//
// A window is what the filter sees of a channel: frames before the chunk, the chunk, zeros. Those before it fill whole
// rows, however few of them the filter reaches, so that every tile begins at a row.
#pragma once

#include "activations.h"

namespace TICKET_ISA {

using ticket::Block;
using ticket::Model;

// Channels whose windows are filled and filtered by turns: few enough to stay where they are read from at once.
constexpr uint32_t kChannelsAtOnce = 16;

// A tile of the windows of channels `first` to `last`: signal * sigmoid(gate), the two halves of a product's rows.
template <int L, typename Rows>
TICKET_INLINE void gate(const Rows &rows, uint32_t channels, uint32_t first, uint32_t last, size_t stride,
                        float *window) {
    for (uint32_t c = first; c < last; c++, window += stride) {
        store<L>(window, rows(c) * sigmoid<L, Rows::kIsRounded>(rows(channels + c)));
    }
}

// Put the cached frames before the chunk of so many windows, and cut the chunk off where it ends.
template <int L>
TICKET_INLINE void complete(const Model &model, uint32_t num_channels, const float *cache, float *window) {
    const uint32_t past = model.conv_past;
    for (uint32_t c = 0; c < num_channels; c++, cache += past, window += model.conv_stride) {
        for (uint32_t j = 0; j < past; j += L) store<L>(window + j, load<L>(cache + j));
        for (uint32_t j = past + model.config.chunk_frames; j % L != 0; j++) window[j] = 0;
    }
}

// The cache of the next chunk.
template <int L>
TICKET_INLINE void keep(const Model &model, uint32_t num_channels, const float *window, float *cache) {
    window += model.config.chunk_frames;
    for (uint32_t c = 0; c < num_channels; c++, cache += model.conv_past, window += model.conv_stride) {
        for (uint32_t j = 0; j < model.conv_past; j += L) store<L>(cache + j, load<L>(window + j));
    }
}

#if defined(TICKET_HAS_BETWEEN)
// Taps S ... L - 1 of the frames that begin in `low` and end in `high`.
template <int L, int S>
TICKET_INLINE void add_taps(Row<L> *sums, Row<L> low, Row<L> high, const float *taps) {
    accumulate<L>(sums[S % 2], taps[S], between<S>(low, high));
    if constexpr (S + 1 < L) add_taps<L, S + 1>(sums, low, high, taps);
}
#endif

// One channel of one tile. taps: a row of model.num_taps, zeros but for those from `first` on.
template <int L>
TICKET_INLINE Row<L> filter(const Model &model, const float *window, const float *taps, uint32_t first, float bias) {
    Row<L> sums[2] = {same<L>(bias), {}};
#if defined(TICKET_HAS_BETWEEN)
    if constexpr (L == TICKET_LANES) {
        // Rows that straddle two lines of the cache take twice as long to load.
        Row<L> low = load<L>(window);
        for (uint32_t j = 0; j < model.num_taps; j += L) {
            const Row<L> high = load<L>(window + j + L);
            add_taps<L, 0>(sums, low, high, taps + j);
            low = high;
        }
        return sums[0] + sums[1];
    }
#endif
    const uint32_t end = first + model.config.conv_kernel;
    uint32_t j = first;
    for (; j + 2 <= end; j += 2) {
        accumulate<L>(sums[0], taps[j], load<L>(window + j));
        accumulate<L>(sums[1], taps[j + 1], load<L>(window + j + 1));
    }
    if (j < end) accumulate<L>(sums[0], taps[j], load<L>(window + j));
    return sums[0] + sums[1];
}

// Filter channels `first` to `last` of one tile; `squares` adds up those of each frame.
template <int L>
TICKET_INLINE void filter_tile(const Model &model, const Block &block, uint32_t first, uint32_t last,
                               const float *window, float *rows, float *squares) {
    const uint32_t first_tap = model.conv_past - model.config.conv_reach();
    Row<L> sum = load<L>(squares);
    for (uint32_t c = first; c < last; c++, window += model.conv_stride) {
        const float *taps = block.depthwise.data() + size_t{c} * model.num_taps;
        const Row<L> y = filter<L>(model, window, taps, first_tap, block.depthwise_bias[c]);
        accumulate<L>(sum, y, y);
        store<L>(rows + size_t{c} * L, y);
    }
    store<L>(squares, sum);
}

// RMS norm and SiLU of one tile; returns the range of the rows.
template <int L, bool kIsRounded>
TICKET_INLINE Range<L> norm_tile(const Block &block, const float *squares, float *rows) {
    const float share = 1.0f / static_cast<float>(block.widths.conv_norm);
    const Row<L> inverse = inverse_sqrt<L>(load<L>(squares) * share + 1e-5f);
    Range<L> range;
    for (uint32_t c = 0; c < block.widths.conv; c++) {
        const Row<L> y = silu<L, kIsRounded>(load<L>(rows + size_t{c} * L) * inverse * block.conv_gain[c]);
        store<L>(rows + size_t{c} * L, y);
        widen<L>(range, y);
    }
    return range;
}

}  // namespace TICKET_ISA
