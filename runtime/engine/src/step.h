// One chunk of a Conformer for some streams: the sums of export/streaming.py, channels first.
//
// Tiles of all streams stand side by side; every product serves them all, caches are each stream's own.
#pragma once

#include "attention_int8.h"
#include "convolution.h"
#include "log_softmax.h"
#include "stem.h"

namespace TICKET_ISA {

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
        const uint32_t most_tiles = larger(num_tiles_, stem_.num_tiles());
        x_ = cutter.cut<float>(uint64_t{num_tiles_} * config_.model_width * L);
        hidden_floats_ = size_t{sizes.outputs} * L;
        hidden_ = cutter.cut<float>(uint64_t{most_tiles} * hidden_floats_);
        input_.tile_bytes = prepared_bytes<L>(sizes.inputs);
        input_.data = cutter.cut<uint8_t>(uint64_t{most_tiles} * input_.tile_bytes);
        input_.steps = cutter.cut<float>(uint64_t{most_tiles} * 2 * L);
        window_ = cutter.cut<float>(uint64_t{kChannelsAtOnce} * model.conv_stride);
        squares_ = cutter.cut<float>(uint64_t{num_tiles_} * L);
        // Those of all keys, and a head's query in 8 bits.
        scores_ = cutter.cut<float>((uint64_t{model.num_slots} * padded + config_.head_width) * L);
        segments_ = cutter.cut<Segment>(uint64_t{model.num_slots} * num_tiles_);
        num_segments_ = cutter.cut<uint32_t>(num_streams);
        panel_ = cutter.cut<uint8_t>(round_up(ticket::round_quads(sizes.inputs) * TICKET_PANEL, 64));
        bytes_ = cutter.used();
    }

    uint64_t bytes() const { return bytes_; }

    void run(const float *const *features, void *const *states, float *const *log_probs) {
        states_ = states;
        for (uint32_t i = 0; i < num_streams_; i++) {
            Segment *segments = segments_ + size_t{i} * stride_of_segments();
            num_segments_[i] = list_segments(model_, header(i)->num_chunks, segments);
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

    // m * input, as sums -> `hidden`.
    void multiply(const Packed &m) { product<L>(m, input_, num_tiles_, {hidden_, hidden_floats_}, panel_); }

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
    void prepare_hidden(const Packed &m, uint32_t tile, Range<L> range) {
        const float *source = hidden(tile);
        prepare<L>(m.format, m.cols, range, same<L>(1.0f), input_, tile,
                   [&](uint32_t k) { return load<L>(source + size_t{k} * L); });
    }

    // Residual stream += m * input.
    void add_product(const Packed &m) {
        multiply(m);
        for (uint32_t tile = 0; tile < num_tiles_; tile++) {
            float *out = x(tile);
            finish<L>(m, input_, tile, hidden(tile), [&](const auto &rows) {
                for (uint32_t k = 0; k < m.rows; k++, out += L) store<L>(out, load<L>(out) + rows(k));
            });
        }
    }

    void feed_forward(const Packed &up, const Packed &down) {
        prepare_normed(up);
        multiply(up);
        for (uint32_t tile = 0; tile < num_tiles_; tile++) {
            Range<L> range;
            finish<L>(up, input_, tile, hidden(tile),
                      [&](const auto &rows) { range = silu_rows<L>(rows, up.rows, hidden(tile)); });
            prepare_hidden(down, tile, range);
        }
        add_product(down);
    }

    void attention(const Block &block) {
        prepare_normed(block.query_key_value);
        multiply(block.query_key_value);
#if defined(TICKET_HAS_INT8_ATTENTION)
        if constexpr (L == TICKET_LANES) {
            const bool is_int8 = ticket::is_int8(block.out.format);
            if (is_int8 && config_.head_width >= kLeastInt8Width) return attention_int8(block);
        }
#endif
        for (uint32_t tile = 0; tile < num_tiles_; tile++) {
            finish<L>(block.query_key_value, input_, tile, hidden(tile),
                      [&](const auto &rows) { split(block, tile, rows); });
        }
        for (uint32_t tile = 0; tile < num_tiles_; tile++) {
            Range<L> range;
            Head head = head_of(block, tile);
            for (uint32_t h = 0; h < block.widths.heads; h++) {
                attend<L>(head, hidden(tile) + h * size_t{head.width} * L, range);
                head.keys += size_t{head.width} * L;
                head.values += size_t{head.width} * L;
                head.bias += model_.bias_length;
            }
            prepare_hidden(block.out, tile, range);
        }
        add_product(block.out);
    }

    // The first head; the others follow it.
    Head head_of(const Block &block, uint32_t tile) const {
        const uint32_t stream = tile / model_.num_tiles, width = block.widths.heads * config_.head_width;
        Head head;
        head.segments = segments_ + stream * stride_of_segments();
        head.num_segments = num_segments_[stream];
        head.width = config_.head_width;
        head.keys = caches(stream) + block.keys_offset;
        head.values = head.keys + size_t{width} * L;
        head.tile_floats = size_t{2} * width * L;
        head.bias = block.position_bias.data() + tile % model_.num_tiles * L;
        head.scores = scores_;
        return head;
    }

    // Number of a tile in its stream's ring.
    uint32_t place_of(uint32_t tile) const {
        const uint64_t slot = header(tile / model_.num_tiles)->num_chunks % model_.num_slots;
        return static_cast<uint32_t>(slot) * model_.num_tiles + tile % model_.num_tiles;
    }

    // Queries stay, keys and values go to the ring.
    template <typename Rows>
    void split(const Block &block, uint32_t tile, const Rows &rows) {
        const uint32_t width = block.widths.heads * config_.head_width;
        float *query = hidden(tile);
        float *rest = caches(tile / model_.num_tiles) + block.keys_offset + size_t{place_of(tile)} * 2 * width * L;
        for (uint32_t k = 0; k < width; k++) store<L>(query + size_t{k} * L, rows(k));
        for (uint32_t k = 0; k < 2 * width; k++) store<L>(rest + size_t{k} * L, rows(width + k));
    }

#if defined(TICKET_HAS_INT8_ATTENTION)
    void attention_int8(const Block &block) {
        const uint32_t head_width = config_.head_width, width = block.widths.heads * head_width;
        const size_t ring_tiles = size_t{model_.num_slots} * model_.num_tiles, head_floats = size_t{head_width} * L;
        const auto cache_of = [&](uint32_t tile, uint32_t h) {
            uint8_t *first = reinterpret_cast<uint8_t *>(caches(tile / model_.num_tiles) + block.keys_offset);
            return first + h * ring_tiles * CachedTile<L>(first, head_width).bytes();
        };
        for (uint32_t tile = 0; tile < num_tiles_; tile++) {
            float *query = hidden(tile), *keys = query + size_t{width} * L, *values = keys + size_t{width} * L;
            finish<L>(block.query_key_value, input_, tile, query, [&](const auto &rows) {
                for (uint32_t k = 0; k < 3 * width; k++) store<L>(query + size_t{k} * L, rows(k));
            });
            for (uint32_t h = 0; h < block.widths.heads; h++) {
                CachedTile<L> cached(cache_of(tile, h), head_width);
                cached.data += place_of(tile) * cached.bytes();
                cache_head<L>(keys + h * head_floats, values + h * head_floats, cached);
            }
        }
        for (uint32_t tile = 0; tile < num_tiles_; tile++) {
            Range<L> range;
            Head head = head_of(block, tile);
            for (uint32_t h = 0; h < block.widths.heads; h++, head.bias += model_.bias_length) {
                attend_int8<L>(head, cache_of(tile, h), hidden(tile) + h * head_floats, range);
            }
            prepare_hidden(block.out, tile, range);
        }
        add_product(block.out);
    }
#endif

    void convolution(const Block &block) {
        prepare_normed(block.pointwise_in);
        multiply(block.pointwise_in);
        for (uint32_t stream = 0; stream < num_streams_; stream++) filter_stream(block, stream);
        for (uint32_t tile = 0; tile < num_tiles_; tile++) {
            const float *squares = squares_ + size_t{tile} * L;
            const Range<L> range = ticket::is_int8(block.pointwise_out.format)
                                       ? norm_tile<L, true>(block, squares, hidden(tile))
                                       : norm_tile<L, false>(block, squares, hidden(tile));
            prepare_hidden(block.pointwise_out, tile, range);
        }
        add_product(block.pointwise_out);
    }

    // Gate and filter, in place.
    void filter_stream(const Block &block, uint32_t stream) {
        const uint32_t channels = block.widths.conv, first_tile = stream * model_.num_tiles;
        float *cache = caches(stream) + block.cache_offset, *squares = squares_ + size_t{first_tile} * L;
        std::memset(window_, 0, kChannelsAtOnce * size_t{model_.conv_stride} * sizeof(float));
        std::memset(squares, 0, model_.num_tiles * size_t{L} * sizeof(float));
        for (uint32_t first = 0; first < channels; first += kChannelsAtOnce) {
            const uint32_t last = channels - first < kChannelsAtOnce ? channels : first + kChannelsAtOnce;
            for (uint32_t i = 0; i < model_.num_tiles; i++) {
                finish<L>(block.pointwise_in, input_, first_tile + i, hidden(first_tile + i), [&](const auto &rows) {
                    gate<L>(rows, channels, first, last, model_.conv_stride, window_ + model_.conv_past + i * L);
                });
            }
            float *cached = cache + size_t{first} * model_.conv_past;
            complete<L>(model_, last - first, cached, window_);
            for (uint32_t i = 0; i < model_.num_tiles; i++) {
                filter_tile<L>(model_, block, first, last, window_ + i * L, hidden(first_tile + i), squares + i * L);
            }
            keep<L>(model_, last - first, window_, cached);
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
        multiply(model_.head);
        for (uint32_t tile = 0; tile < num_tiles_; tile++) {
            const uint32_t vocab = config_.vocab_size, first = tile % model_.num_tiles * L;
            const uint32_t count = config_.chunk_frames - first < L ? config_.chunk_frames - first : L;
            float *out = log_probs[tile / model_.num_tiles] + size_t{first} * vocab;
            finish<L>(model_.head, input_, tile, hidden(tile),
                      [&](const auto &rows) { log_softmax<L>(rows, vocab, count, hidden(tile), out); });
        }
    }

    const Model &model_;
    const ticket::Config &config_;
    uint32_t num_streams_, num_tiles_;
    void *const *states_ = nullptr;
    Stem<L> stem_;
    size_t hidden_floats_;
    uint64_t bytes_;
    float *x_, *hidden_, *window_, *squares_, *scores_;
    Segment *segments_;
    uint32_t *num_segments_;
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
