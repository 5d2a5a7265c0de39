// One chunk of a Conformer for some streams: the sums of export/streaming.py, channels first.
//
// Axes: D model width, L frames of a tile, T frames of a chunk, R frames of the convolution's cache. Tiles of all streams
// stand side by side; every product serves them all, caches are each stream's own.
#pragma once

#include "attention.h"
#include "stem.h"

namespace TICKET_ISA {

using ticket::Block;
using ticket::StateHeader;

template <int L>
class Step {
public:
    Step(const Model &model, uint32_t num_streams, void *workspace)
        : model_(model), config_(model.config), num_streams_(num_streams), num_tiles_(num_streams * model.num_tiles),
          stem_(model) {
        const Sizes sizes = sizes_of(model);
        const uint32_t padded = model.num_tiles * L;
        Cutter cutter(workspace);
        stem_.cut(cutter);
        window_stride_ = round_up(padded + 2 * config_.conv_reach() + L, 16);
        const uint32_t most_tiles = larger(num_tiles_, stem_.num_tiles());
        x_ = cutter.cut<float>(uint64_t{num_tiles_} * config_.model_width * L);
        hidden_floats_ = size_t{sizes.outputs} * L;
        hidden_ = cutter.cut<float>(uint64_t{most_tiles} * hidden_floats_);
        input_.tile_bytes = prepared_bytes<L>(sizes.inputs);
        input_.data = cutter.cut<uint8_t>(uint64_t{most_tiles} * input_.tile_bytes);
        input_.steps = cutter.cut<float>(uint64_t{most_tiles} * 2 * L);
        window_ = cutter.cut<float>(uint64_t{sizes.channels} * window_stride_);
        scores_ = cutter.cut<float>(uint64_t{model.num_slots} * padded * L);
        segments_ = cutter.cut<Segment>(uint64_t{model.num_slots} * num_tiles_);
        num_segments_ = cutter.cut<uint32_t>(num_streams);
        rest_ = cutter.cut<float *>(num_tiles_);
        panel_ = cutter.cut<uint8_t>(round_up(ticket::round_quads(sizes.inputs) * TICKET_PANEL, 64));
        bytes_ = cutter.used();
    }

    uint64_t bytes() const { return bytes_; }

    void run(const float *const *features, void *const *states, float *const *log_probs) {
        states_ = states;
        for (uint32_t i = 0; i < num_streams_; i++) {
            num_segments_[i] = list_segments(model_, header(i)->num_chunks, segments_ + size_t{i} * stride_of_segments());
            stem_.run(features[i], input_, hidden_, x(i * model_.num_tiles), panel_);
        }
        for (size_t b = 0; b < model_.blocks.size(); b++) {
            const Block &block = *model_.blocks[b];
            if (block.widths.ff1 != 0) feed_forward(block.ff1_up, block.ff1_down);
            if (block.widths.heads != 0) attention(block);
            if (block.widths.conv != 0) convolution(block);
            if (block.widths.ff2 != 0) feed_forward(block.ff2_up, block.ff2_down);
            norm(block);
        }
        head(log_probs);
        for (uint32_t i = 0; i < num_streams_; i++) header(i)->num_chunks++;
    }

private:
    StateHeader *header(uint32_t stream) const { return static_cast<StateHeader *>(states_[stream]); }
    float *caches(uint32_t stream) const { return reinterpret_cast<float *>(header(stream) + 1); }
    float *x(uint32_t tile) const { return x_ + size_t{tile} * config_.model_width * L; }
    float *hidden(uint32_t tile) const { return hidden_ + tile * hidden_floats_; }
    size_t stride_of_segments() const { return size_t{model_.num_slots} * model_.num_tiles; }

    Sink to_hidden(Sink::Kind kind) const {
        Sink sink;
        sink.kind = kind;
        sink.out = hidden_;
        sink.tile_floats = hidden_floats_;
        return sink;
    }
    Sink to_x() const {
        Sink sink;
        sink.kind = Sink::add;
        sink.out = x_;
        sink.tile_floats = size_t{config_.model_width} * L;
        return sink;
    }
    void multiply(const Packed &m, const Sink &sink) { product<L>(m, input_, num_tiles_, sink, panel_); }

    // Normalised residual stream -> input of `m`. Gain and bias of this norm are in m's weights.
    void prepare_normed(const Packed &m) {
        for (uint32_t tile = 0; tile < num_tiles_; tile++) {
            const float *source = x(tile);
            const Moments<L> s = moments<L>(source, config_.model_width);
            prepare<L>(m.format, config_.model_width, s.range, s.inverse, input_, tile,
                       [&](uint32_t k) { return load<L>(source + size_t{k} * L) - s.mean; });
        }
    }

    // `m.cols` rows of `hidden` -> input of m.
    void prepare_hidden(const Packed &m) {
        for (uint32_t tile = 0; tile < num_tiles_; tile++) {
            const float *source = hidden(tile);
            prepare<L>(m.format, m.cols, input_, tile, [&](uint32_t k) { return load<L>(source + size_t{k} * L); });
        }
    }

    void feed_forward(const Packed &up, const Packed &down) {
        prepare_normed(up);
        multiply(up, to_hidden(Sink::silu));
        prepare_hidden(down);
        multiply(down, to_x());
    }

    void attention(const Block &block) {
        const uint32_t width = block.widths.heads * config_.head_width;
        const size_t tile_floats = size_t{2} * width * L;
        prepare_normed(block.query_key_value);
        for (uint32_t tile = 0; tile < num_tiles_; tile++) {
            const uint32_t stream = tile / model_.num_tiles;
            const uint32_t slot = static_cast<uint32_t>(header(stream)->num_chunks % model_.num_slots);
            rest_[tile] = caches(stream) + block.keys_offset +
                          (size_t{slot} * model_.num_tiles + tile % model_.num_tiles) * tile_floats;
        }
        Sink sink = to_hidden(Sink::split);
        sink.first_rest = width;
        sink.rest = rest_;
        multiply(block.query_key_value, sink);
        for (uint32_t tile = 0; tile < num_tiles_; tile++) {
            const uint32_t stream = tile / model_.num_tiles;
            float *rows = hidden(tile);
            for (uint32_t h = 0; h < block.widths.heads; h++) {
                const size_t first = size_t{h} * config_.head_width * L;
                attend<L>(caches(stream) + block.keys_offset + first, tile_floats, size_t{width} * L,
                          segments_ + stream * stride_of_segments(), num_segments_[stream], config_.head_width,
                          block.position_bias.data() + size_t{h} * model_.bias_length + tile % model_.num_tiles * L,
                          scores_, rows + first);
            }
        }
        prepare_hidden(block.out);
        multiply(block.out, to_x());
    }

    void convolution(const Block &block) {
        const uint32_t channels = block.widths.conv, reach = config_.conv_reach();
        const float share = 1.0f / static_cast<float>(block.widths.conv_norm);
        prepare_normed(block.pointwise_in);
        multiply(block.pointwise_in, to_hidden(Sink::copy));
        for (uint32_t stream = 0; stream < num_streams_; stream++) {
            fill_window(block, stream);
            for (uint32_t i = 0; i < model_.num_tiles; i++) {
                const uint32_t tile = stream * model_.num_tiles + i;
                float *rows = hidden(tile);
                Row<L> squares = {};
                for (uint32_t c = 0; c < channels; c++) {
                    Row<L> y = depthwise(block, c, window_ + c * window_stride_ + i * L);
                    accumulate<L>(squares, y, y);
                    store<L>(rows + size_t{c} * L, y);
                }
                const Row<L> inverse = inverse_sqrt<L>(squares * share + 1e-5f);
                Range<L> range;
                for (uint32_t c = 0; c < channels; c++) {
                    Row<L> y = silu<L>(load<L>(rows + size_t{c} * L) * inverse * block.conv_gain[c]);
                    store<L>(rows + size_t{c} * L, y);
                    widen<L>(range, y);
                }
                prepare<L>(block.pointwise_out.format, channels, range, same<L>(1.0f), input_, tile,
                           [&](uint32_t k) { return load<L>(rows + size_t{k} * L); });
            }
            keep_cache(block, caches(stream) + block.cache_offset, reach);
        }
        multiply(block.pointwise_out, to_x());
    }

    // Each channel's cached frames, gated frames and zeros, side by side.
    void fill_window(const Block &block, uint32_t stream) {
        const uint32_t channels = block.widths.conv, reach = config_.conv_reach(), chunk = config_.chunk_frames;
        const float *cache = caches(stream) + block.cache_offset;
        for (uint32_t c = 0; c < channels; c++) {
            float *window = window_ + c * window_stride_;
            for (uint32_t r = 0; r < reach; r++) window[r] = cache[size_t{c} * reach + r];
            for (uint32_t i = 0; i < model_.num_tiles; i++) {
                const float *rows = hidden(stream * model_.num_tiles + i);
                Row<L> signal = load<L>(rows + size_t{c} * L), gate = load<L>(rows + size_t{channels + c} * L);
                store<L>(window + reach + i * L, signal * sigmoid<L>(gate));
            }
            for (size_t t = reach + chunk; t < window_stride_; t++) window[t] = 0;
        }
    }

    Row<L> depthwise(const Block &block, uint32_t channel, const float *window) const {
        const uint32_t kernel = config_.conv_kernel;
        const float *taps = block.depthwise.data() + size_t{channel} * kernel;
        Row<L> a = same<L>(block.depthwise_bias[channel]), b = {};
        uint32_t j = 0;
        for (; j + 2 <= kernel; j += 2) {
            accumulate<L>(a, taps[j], load<L>(window + j));
            accumulate<L>(b, taps[j + 1], load<L>(window + j + 1));
        }
        accumulate<L>(a, taps[j], load<L>(window + j));
        return a + b;
    }

    void keep_cache(const Block &block, float *cache, uint32_t reach) const {
        for (uint32_t c = 0; c < block.widths.conv; c++) {
            const float *window = window_ + c * window_stride_ + config_.chunk_frames;
            for (uint32_t r = 0; r < reach; r++) cache[size_t{c} * reach + r] = window[r];
        }
    }

    // The norm at the end of a block, in place.
    void norm(const Block &block) {
        for (uint32_t tile = 0; tile < num_tiles_; tile++) {
            float *rows = x(tile);
            const Moments<L> s = moments<L>(rows, config_.model_width);
            for (uint32_t k = 0; k < config_.model_width; k++) {
                Row<L> y = (load<L>(rows + size_t{k} * L) - s.mean) * s.inverse;
                store<L>(rows + size_t{k} * L, y * block.norm_gain[k] + same<L>(block.norm_bias[k]));
            }
        }
    }

    // Log-probabilities, and back to [frame][symbol].
    void head(float *const *log_probs) {
        for (uint32_t tile = 0; tile < num_tiles_; tile++) {
            const float *rows = x(tile);
            prepare<L>(model_.head.format, config_.model_width, input_, tile,
                       [&](uint32_t k) { return load<L>(rows + size_t{k} * L); });
        }
        multiply(model_.head, to_hidden(Sink::copy));
        const uint32_t vocab = config_.vocab_size;
        for (uint32_t tile = 0; tile < num_tiles_; tile++) {
            const float *rows = hidden(tile);
            Row<L> highest = load<L>(rows), sum = {};
            for (uint32_t v = 1; v < vocab; v++) highest = max<L>(load<L>(rows + size_t{v} * L), highest);
            for (uint32_t v = 0; v < vocab; v++) sum = sum + exp<L>(load<L>(rows + size_t{v} * L) - highest);
            float shift[L];
            store<L>(shift, sum);
            for (int t = 0; t < L; t++) shift[t] = __builtin_logf(shift[t]);
            store<L>(shift, load<L>(shift) + highest);
            const uint32_t first = tile % model_.num_tiles * L;
            const uint32_t count = config_.chunk_frames - first < L ? config_.chunk_frames - first : L;
            float *out = log_probs[tile / model_.num_tiles] + size_t{first} * vocab;
            for (uint32_t v = 0; v < vocab; v++) {
                float y[L];
                store<L>(y, load<L>(rows + size_t{v} * L) - load<L>(shift));
                for (uint32_t t = 0; t < count; t++) out[size_t{t} * vocab + v] = y[t];
            }
        }
    }

    const Model &model_;
    const ticket::Config &config_;
    uint32_t num_streams_, num_tiles_;
    void *const *states_ = nullptr;
    Stem<L> stem_;
    size_t window_stride_, hidden_floats_;
    uint64_t bytes_;
    float *x_, *hidden_, *window_, *scores_;
    Segment *segments_;
    uint32_t *num_segments_;
    float **rest_;
    uint8_t *panel_;
    Activations input_;
};

static uint64_t workspace_bytes(const Model &model, uint32_t num_streams) {
    switch (model.lanes) {
        case 4:
            return Step<4>(model, num_streams, nullptr).bytes();
        case 8:
            return Step<8>(model, num_streams, nullptr).bytes();
        default:
            return Step<16>(model, num_streams, nullptr).bytes();
    }
}

template <int L>
static bool run_step(const Model &model, uint32_t num_streams, const float *const *features, void *const *states,
                     float *const *log_probs, void *workspace) {
    Step<L> step(model, num_streams, workspace);
    if (step.bytes() > ticket::kMaxWorkspace) return false;
    step.run(features, states, log_probs);
    return true;
}

static bool step(const Model &model, uint32_t num_streams, const float *const *features, void *const *states,
                 float *const *log_probs, void *workspace) {
    switch (model.lanes) {
        case 4:
            return run_step<4>(model, num_streams, features, states, log_probs, workspace);
        case 8:
            return run_step<8>(model, num_streams, features, states, log_probs, workspace);
        default:
            return run_step<16>(model, num_streams, features, states, log_probs, workspace);
    }
}

}  // namespace TICKET_ISA
