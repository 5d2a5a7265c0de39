// The integers inside a product, for tests.
#pragma once

#include "activations.h"
#include "workspace.h"

namespace TICKET_ISA {

static size_t product_bytes(const Packed &m, uint32_t frames) {
    const size_t num_tiles = round_up(frames, 16) / 16;
    return num_tiles * (prepared_bytes<16>(m.cols) + 2 * 16 * sizeof(float) + size_t{m.rows} * 16 * sizeof(int32_t)) +
           round_up(ticket::round_quads(m.cols) * TICKET_PANEL, 64) + 4 * ticket::kAlignment;
}

static void integer_product(const Packed &m, uint32_t frames, const float *x, int32_t *sums, void *workspace) {
    const uint32_t num_tiles = static_cast<uint32_t>(round_up(frames, 16) / 16);
    Cutter cutter(workspace);
    Activations input;
    input.tile_bytes = prepared_bytes<16>(m.cols);
    input.data = cutter.cut<uint8_t>(num_tiles * input.tile_bytes);
    input.steps = cutter.cut<float>(size_t{num_tiles} * 2 * 16);
    Tiles out;
    out.tile_floats = size_t{m.rows} * 16;
    out.data = cutter.cut<float>(num_tiles * out.tile_floats);
    uint8_t *panel = cutter.cut<uint8_t>(round_up(ticket::round_quads(m.cols) * TICKET_PANEL, 64));
    for (uint32_t tile = 0; tile < num_tiles; tile++) {
        prepare<16>(m.format, m.cols, input, tile, [&](uint32_t k) {
            float row[16] = {};
            for (uint32_t t = 0; t < 16 && tile * 16 + t < frames; t++) row[t] = x[size_t{k} * frames + tile * 16 + t];
            return load<16>(row);
        });
    }
    product<16>(m, input, num_tiles, out, panel);
    for (uint32_t row = 0; row < m.rows; row++) {
        for (uint32_t t = 0; t < frames; t++) {
            const float *sum = out.data + t / 16 * out.tile_floats + size_t{row} * 16 + t % 16;
            std::memcpy(sums + size_t{row} * frames + t, sum, sizeof(int32_t));
        }
    }
}

}  // namespace TICKET_ISA