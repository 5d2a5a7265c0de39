// The content of a ticket file, checked: sizes, offsets, tables and numbers. Layout: docs/formats.md.
#pragma once

#include "entropy.h"
#include "memory.h"

namespace ticket {

// How a matrix is held in memory and multiplied; on disk there are dense and gap-coded ones.
enum class Format : uint32_t {
    dense_f32 = 0,
    dense_i8 = 1,
    csr_f32 = 2,       // single weights, rows sorted by how many they have
    csr_i8 = 3,
    bitmask_i8 = 4,    // a bit a weight, and the values that are not zero
    block1x4_f32 = 5,  // one output, four neighbouring inputs
    block1x4_i8 = 6,
    block4x4_i8 = 7,   // four neighbouring outputs and inputs
};
constexpr uint32_t kNumFormats = 8;

bool is_int8(Format format);  // 8-bit values and a scale for each row; the others hold floats
bool is_dense(Format format);
// Rows and columns of what is kept or removed as a whole: 1x1 for single weights.
uint32_t block_rows(Format format);
uint32_t block_cols(Format format);

constexpr size_t kNameBytes = 64;
// Numbers of a stream's state, and of all position biases. Both grow with the chunk length, which costs a file nothing to
// claim.
constexpr uint64_t kMaxState = uint64_t{1} << 26;

struct BlockWidths {
    uint32_t ff1, heads, conv, ff2;
    uint32_t conv_norm;  // channels that the convolution's RMS norm divides by
};

struct Config {
    uint32_t num_mels, stem_width, model_width, head_width, num_blocks, conv_kernel, left_context, chunk_frames,
        vocab_size, max_chunk;

    uint32_t conv_reach() const { return conv_kernel / 2; }
    uint32_t num_distances() const { return left_context + 2 * max_chunk - 1; }
    uint32_t window_frames() const { return 4 * chunk_frames + 3; }
};

// One matrix as it lies in the file, with its bias and scales decoded.
struct MatrixRecord {
    char name[kNameBytes] = "";  // for people: blocks[3].ff1.up
    Format format = Format::dense_f32;
    uint32_t rows = 0, cols = 0;
    bool is_half = false;      // float values are stored as float16
    uint32_t num_entries = 0;  // weights or blocks that are not zero; 0 if dense
    const SlotTable *gap_table = nullptr, *value_table = nullptr;  // nullptr: raw
    const uint8_t *gaps = nullptr, *values = nullptr;
    size_t gap_bytes = 0, value_bytes = 0;
    Array<float> bias;   // rows
    Array<float> scale;  // rows; empty for float formats

    // Blocks that tile the matrix, those at ragged edges counted whole.
    uint64_t num_blocks() const;

    // Decode to (rows, cols), row by row: the first for int8 formats, the second for float formats. `dense` holds zeros
    // before the call. What a stream holds is only known here: a file that parses can still fail to decode.
    bool decode(int8_t *dense, Error *error) const;
    bool decode(float *dense, Error *error) const;
};

struct BlockRecord {
    BlockWidths widths;
    MatrixRecord ff1_up, ff1_down;               // where widths.ff1
    MatrixRecord query_key_value, out;           // where widths.heads
    Array<float> position_bias;                  // (heads, num_distances)
    MatrixRecord pointwise_in, depthwise, pointwise_out;  // where widths.conv; depthwise is (conv, conv_kernel)
    Array<float> conv_gain;                      // (conv)
    MatrixRecord ff2_up, ff2_down;               // where widths.ff2
    Array<float> norm_gain, norm_bias;           // (model_width)
};

struct File {
    Config config;
    Array<SlotTable> tables;
    Array<float> mean, inverse_std;  // (num_mels)
    MatrixRecord conv1, conv2, head;
    BlockRecord *blocks = nullptr;
    uint32_t num_matrices = 0;  // depthwise ones not counted
    uint64_t checksum = 0;      // of everything after the prologue

    File() = default;
    File(const File &) = delete;
    File &operator=(const File &) = delete;
    ~File();
};

// Not an infinity nor NaN; told by its bits, because compilers may assume that there are none.
inline bool is_finite(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7F800000) != 0x7F800000;
}

float from_float16(uint16_t half);

// Read a file from memory into a new File. The records point into `data`, which must outlive `file`.
bool parse_file(const uint8_t *data, size_t num_bytes, File *file, Error *error);

}  // namespace ticket
