// The front of the network for one stream: feature normalisation, and two convolutions of three frames, stride two.
//
// A stride of two reads even and odd frames: they are kept apart, [channel][frame / 2], so that every tap of every
// convolution is a row of neighbouring numbers.
#pragma once

#include "activations.h"
#include "workspace.h"

namespace TICKET_ISA {

template <int L>
class Stem {
public:
    explicit Stem(const Model &model) : model_(model), config_(model.config) {
        const uint32_t num_halves = 2 * config_.chunk_frames + 1;
        large_tiles_ = num_halves / L;
        small_tiles_ = (num_halves - large_tiles_ * L + 3) / 4;
        stride_ = round_up(num_halves + 1 + L, 16);
    }

    void cut(Cutter &cutter) {
        const uint64_t size = uint64_t{larger(config_.num_mels, config_.stem_width)} * stride_;
        even_ = cutter.cut<float>(size);
        odd_ = cutter.cut<float>(size);
    }

    // Tiles of the first convolution, which has twice the frames of a chunk and one more: that one does not get a whole
    // tile of its own, but a small one.
    uint32_t num_tiles() const { return large_tiles_ + small_tiles_; }

    // Features (window_frames, num_mels) -> tiles of the residual stream at `x`; the rest is scratch memory.
    void run(const float *features, const Activations &input, float *hidden, float *x, uint8_t *panel) {
        const uint32_t mels = config_.num_mels, width = config_.stem_width, chunk = config_.chunk_frames;
        for (uint32_t frame = 0; frame < config_.window_frames(); frame++) {
            float *half = (frame % 2 == 0 ? even_ : odd_) + frame / 2;
            const float *row = features + size_t{frame} * mels;
            for (uint32_t f = 0; f < mels; f++) half[f * stride_] = (row[f] - model_.mean[f]) * model_.inverse_std[f];
        }
        pad(mels, 2 * chunk + 2, 2 * chunk + 1);
        first<L>(0, large_tiles_, input, hidden, panel);
        first<4>(large_tiles_ * L, small_tiles_, input, hidden, panel);
        for (uint32_t channel = 0; channel < width; channel++) {
            for (uint32_t t = 0; t < 2 * chunk + 1; t++) {
                (t % 2 == 0 ? even_ : odd_)[channel * stride_ + t / 2] = result_of_first(hidden, channel, t);
            }
        }
        pad(width, chunk + 1, chunk);
        convolve<L>(model_.conv2, width, 0, model_.num_tiles, input, {x, size_t{config_.model_width} * L}, panel);
        for (uint32_t tile = 0; tile < model_.num_tiles; tile++) {
            float *out = x + tile * size_t{config_.model_width} * L;
            finish<L>(model_.conv2, input, tile, out, [&](const auto &rows) {
                for (uint32_t k = 0; k < config_.model_width; k++) store<L>(out + size_t{k} * L, rows(k));
            });
        }
    }

private:
    // Frames beyond the chunk are computed with the rest of their tile; they have to be numbers.
    void pad(uint32_t num_rows, uint32_t num_even, uint32_t num_odd) {
        for (uint32_t k = 0; k < num_rows; k++) {
            for (size_t t = num_even; t < stride_; t++) even_[k * stride_ + t] = 0;
            for (size_t t = num_odd; t < stride_; t++) odd_[k * stride_ + t] = 0;
        }
    }

    // Tiles of N frames, from frame `start` on, of a convolution over `width` channels: row k of its input is channel
    // k % width at frames 2t, 2t + 1 or 2t + 2.
    template <int N>
    void convolve(const Packed &m, uint32_t width, uint32_t start, uint32_t num_tiles, Activations input,
                  const Tiles &out, uint8_t *panel) {
        for (uint32_t tile = 0; tile < num_tiles; tile++) {
            prepare<N>(m.format, 3 * width, input, tile, [&](uint32_t k) {
                const float *half = (k / width == 1 ? odd_ : even_) + k % width * stride_;
                return load<N>(half + start + tile * N + (k / width == 2 ? 1 : 0));
            });
        }
        product<N>(m, input, num_tiles, out, panel);
    }

    template <int N>
    void first(uint32_t start, uint32_t num_tiles, const Activations &input, float *hidden, uint8_t *panel) {
        const Tiles out = {hidden + size_t{start} * config_.stem_width, size_t{config_.stem_width} * N};
        convolve<N>(model_.conv1, config_.num_mels, start, num_tiles, input, out, panel);
        for (uint32_t tile = 0; tile < num_tiles; tile++) {
            float *rows = out.data + tile * out.tile_floats;
            finish<N>(model_.conv1, input, tile, rows,
                      [&](const auto &sums) { silu_rows<N>(sums, config_.stem_width, rows); });
        }
    }

    float result_of_first(const float *hidden, uint32_t channel, uint32_t frame) const {
        const uint32_t lanes = frame < large_tiles_ * L ? L : 4;
        const uint32_t in_tile = lanes == L ? frame % L : (frame - large_tiles_ * L) % 4;
        const float *tile = hidden + size_t{frame - in_tile} * config_.stem_width;
        return tile[size_t{channel} * lanes + in_tile];
    }

    const Model &model_;
    const ticket::Config &config_;
    uint32_t large_tiles_, small_tiles_;
    size_t stride_;
    float *even_ = nullptr, *odd_ = nullptr;
};

}  // namespace TICKET_ISA
