// A model ready to run, and what kernels are called with. Shared, read-only, by every stream and thread.
#pragma once

#include "pack.h"

namespace ticket {

// Weights as bytes to floats: on most processors a load is cheaper than a conversion.
extern const float kFloatOfByte[256];

static inline size_t round_quads(size_t count) { return round_up(count, 4); }

// The input of a product, for each tile of frames.
struct Activations {
    uint8_t *data = nullptr;
    size_t tile_bytes = 0;
    float *steps = nullptr;  // (tiles, 2, L): what one step of the integers is worth in each frame; that times the zero
};

// Where the sums of a product go: (rows, L) of each tile, whose bits are integers where the weights are int8.
struct Tiles {
    float *data = nullptr;
    size_t tile_floats = 0;
};

struct Block {
    BlockWidths widths;
    Packed ff1_up, ff1_down, query_key_value, out, pointwise_in, pointwise_out, ff2_up, ff2_down;
    Array<float> position_bias;  // (heads, bias_length): by frame of the query minus frame of the key
    Array<float> depthwise;      // (conv, num_taps): zeros, the taps from conv_past - conv_reach on, zeros
    Array<float> depthwise_bias, conv_gain, norm_gain, norm_bias;
    size_t keys_offset = 0;   // floats into a state: (slots, tiles, 2 * heads * head_width, L); in 8 bits see CachedTile
    size_t cache_offset = 0;  // floats into a state: (conv, conv_past)
};

struct Model;

// More than this no workspace can have: it has to fit in the address space, beside much else.
constexpr uint64_t kMaxWorkspace = SIZE_MAX / 2;

// What an instruction set brings.
struct Kernels {
    const char *name;
    uint32_t panel;      // rows of a dense panel
    uint32_t max_lanes;  // frames of a tile at most: what the registers hold of a panel
    uint64_t (*workspace_bytes)(const Model &, uint32_t num_streams);
    // Returns false, and does nothing, where the workspace would not fit in the address space.
    bool (*step)(const Model &, uint32_t num_streams, const float *const *features, void *const *states,
                 float *const *log_probs, void *workspace);
    void (*integer_product)(const Packed &, uint32_t frames, const float *x, int32_t *sums, void *workspace);
    size_t (*product_bytes)(const Packed &, uint32_t frames);
};

// What a state begins with; the floats of the caches follow.
struct StateHeader {
    uint64_t tag;  // of the model and of how its caches lie: a state of another model is not taken for one's own
    uint64_t num_chunks;
    uint8_t unused[kAlignment - 2 * sizeof(uint64_t)];
};

struct Model {
    Config config;
    Array<float> mean, inverse_std;
    Packed conv1, conv2, head;
    Array<Block *> blocks;
    uint32_t num_matrices = 0;
    uint32_t lanes = 0;         // frames of a tile: 4, 8 or 16
    uint32_t num_tiles = 0;     // tiles of one stream's chunk
    uint32_t num_slots = 0;     // chunks whose keys and values a state holds, the present one among them
    uint32_t bias_length = 0;
    uint32_t conv_past = 0;     // frames before the chunk in a window of the convolution: the filter's reach, in rows
    uint32_t num_taps = 0;      // of the filter, in rows
    uint32_t conv_stride = 0;   // of such windows
    size_t state_bytes = 0;
    uint64_t state_tag = 0;
    const Kernels *kernels = nullptr;

    Model() = default;
    Model(const Model &) = delete;
    Model &operator=(const Model &) = delete;
    ~Model();
    size_t num_bytes() const;
};

// Lay a file's weights out for an instruction set.
bool build_model(const File &file, const Kernels *kernels, Model *model, Error *error);

}  // namespace ticket
