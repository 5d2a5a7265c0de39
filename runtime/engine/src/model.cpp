#include "model.h"

#include <new>

namespace ticket {

#define ROW(n) n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7
const float kFloatOfByte[256] = {
    ROW(0),    ROW(8),    ROW(16),   ROW(24),   ROW(32),   ROW(40),  ROW(48),  ROW(56),  ROW(64),  ROW(72),  ROW(80),
    ROW(88),   ROW(96),   ROW(104),  ROW(112),  ROW(120),  ROW(-128), ROW(-120), ROW(-112), ROW(-104), ROW(-96), ROW(-88),
    ROW(-80),  ROW(-72),  ROW(-64),  ROW(-56),  ROW(-48),  ROW(-40), ROW(-32), ROW(-24), ROW(-16), ROW(-8)};
#undef ROW

Model::~Model() {
    for (size_t i = 0; i < blocks.size(); i++) {
        if (blocks[i] == nullptr) continue;
        blocks[i]->~Block();
        std::free(blocks[i]);
    }
}

size_t Model::num_bytes() const {
    size_t total = conv1.num_bytes() + conv2.num_bytes() + head.num_bytes();
    for (size_t i = 0; i < blocks.size(); i++) {
        const Block &b = *blocks[i];
        total += b.ff1_up.num_bytes() + b.ff1_down.num_bytes() + b.query_key_value.num_bytes() + b.out.num_bytes() +
                 b.pointwise_in.num_bytes() + b.pointwise_out.num_bytes() + b.ff2_up.num_bytes() +
                 b.ff2_down.num_bytes();
        total += (b.position_bias.size() + b.depthwise.size() + b.depthwise_bias.size() + b.conv_gain.size() +
                  b.norm_gain.size() + b.norm_bias.size()) * sizeof(float);
    }
    return total;
}

namespace {

// The bias of every difference of frames that a step can meet, one after the other, so that the queries of a tile read
// theirs in one piece: entry i belongs to (frame of the query) - (frame of the key) = i - (padded chunk - 1).
bool spread_bias(const BlockRecord &record, const Model &model, Array<float> *bias, Error *error) {
    const Config &c = model.config;
    if (!bias->allocate(size_t{record.widths.heads} * model.bias_length)) return error->set("not enough memory");
    const int64_t shift = int64_t{c.max_chunk} - 1 - (int64_t{model.num_tiles} * model.lanes - 1);
    const int64_t last = int64_t{c.num_distances()} - 1;
    for (uint32_t h = 0; h < record.widths.heads; h++) {
        for (uint32_t i = 0; i < model.bias_length; i++) {
            int64_t at = i + shift;
            at = at < 0 ? 0 : at > last ? last : at;
            (*bias)[size_t{h} * model.bias_length + i] =
                record.position_bias[size_t{h} * c.num_distances() + static_cast<size_t>(at)];
        }
    }
    return true;
}

// Each channel's taps stand in a row of zeros.
bool unpack_depthwise(const MatrixRecord &record, const Model &model, Block *block, Error *error) {
    const size_t size = size_t{record.rows} * record.cols;
    Array<float> floats;
    Array<int8_t> integers;
    if (!block->depthwise.allocate(size_t{record.rows} * model.num_taps)) return error->set("not enough memory");
    const bool is_enough = is_int8(record.format) ? integers.allocate(size) : floats.allocate(size);
    if (!is_enough) return error->set("not enough memory");
    if (!(is_int8(record.format) ? record.decode(integers.data(), error) : record.decode(floats.data(), error))) {
        return false;
    }
    const size_t first = model.conv_past - model.config.conv_reach();
    for (size_t i = 0; i < size; i++) {
        const size_t row = i / record.cols;
        const float tap = is_int8(record.format) ? record.scale[row] * static_cast<float>(integers[i]) : floats[i];
        block->depthwise[row * model.num_taps + first + i % record.cols] = tap;
    }
    return true;
}

bool build_block(const BlockRecord &record, const Model &model, uint32_t panel, Block *block, Error *error) {
    const BlockWidths &w = record.widths;
    block->widths = w;
    if (w.ff1 != 0 && !(pack(record.ff1_up, panel, &block->ff1_up, error) &&
                        pack(record.ff1_down, panel, &block->ff1_down, error))) {
        return false;
    }
    if (w.heads != 0 && !(pack(record.query_key_value, panel, &block->query_key_value, error) &&
                          pack(record.out, panel, &block->out, error) &&
                          spread_bias(record, model, &block->position_bias, error))) {
        return false;
    }
    if (w.conv != 0 && !(pack(record.pointwise_in, panel, &block->pointwise_in, error) &&
                         pack(record.pointwise_out, panel, &block->pointwise_out, error) &&
                         unpack_depthwise(record.depthwise, model, block, error) &&
                         block->depthwise_bias.copy_from(record.depthwise.bias) &&
                         block->conv_gain.copy_from(record.conv_gain))) {
        return false;
    }
    if (w.ff2 != 0 && !(pack(record.ff2_up, panel, &block->ff2_up, error) &&
                        pack(record.ff2_down, panel, &block->ff2_down, error))) {
        return false;
    }
    return block->norm_gain.copy_from(record.norm_gain) && block->norm_bias.copy_from(record.norm_bias);
}

}  // namespace

bool build_model(const File &file, const Kernels *kernels, Model *model, Error *error) {
    const Config &c = file.config;
    model->config = c;
    model->kernels = kernels;
    model->num_matrices = file.num_matrices;
    model->lanes = c.chunk_frames <= 4 ? 4 : c.chunk_frames <= 8 || kernels->max_lanes == 8 ? 8 : 16;
    model->num_tiles = static_cast<uint32_t>(round_up(c.chunk_frames, model->lanes) / model->lanes);
    model->num_slots = (c.left_context + c.chunk_frames - 1) / c.chunk_frames + 1;
    const uint32_t padded = model->num_tiles * model->lanes;
    model->bias_length = 2 * padded + model->num_slots * c.chunk_frames;
    model->conv_past = static_cast<uint32_t>(round_up(c.conv_reach(), model->lanes));
    model->num_taps = static_cast<uint32_t>(round_up(model->conv_past + c.conv_reach() + 1, model->lanes));
    model->conv_stride = padded + model->num_taps;
    if (!model->mean.copy_from(file.mean) || !model->inverse_std.copy_from(file.inverse_std) ||
        !pack(file.conv1, kernels->panel, &model->conv1, error) ||
        !pack(file.conv2, kernels->panel, &model->conv2, error) || !pack(file.head, kernels->panel, &model->head, error)) {
        return false;
    }
    if (!model->blocks.allocate(c.num_blocks)) return error->set("not enough memory");
    size_t floats = 0, bias_floats = 0;
    for (uint32_t i = 0; i < c.num_blocks; i++) {
        bias_floats += size_t{file.blocks[i].widths.heads} * model->bias_length;
        if (bias_floats > kMaxState) return error->set("blocks[%u]: too many heads for such long chunks", i);
        void *memory = std::malloc(sizeof(Block));
        if (memory == nullptr) return error->set("not enough memory");
        Block *block = new (memory) Block();
        model->blocks[i] = block;
        if (!build_block(file.blocks[i], *model, kernels->panel, block, error)) return false;
        block->keys_offset = floats;
        floats += size_t{model->num_slots} * padded * 2 * block->widths.heads * c.head_width;
        block->cache_offset = floats;
        floats += round_up(size_t{block->widths.conv} * model->conv_past, kAlignment / sizeof(float));
        if (floats > kMaxState) return error->set("blocks[%u]: a stream's caches would be too large", i);
    }
    // Not by lanes alone: instruction sets of the same lanes may hold keys and values as floats or in 8 bits.
    model->state_tag = file.checksum ^ model->lanes;
    for (const char *c = kernels->name; *c != 0; c++) {
        model->state_tag = (model->state_tag ^ static_cast<uint8_t>(*c)) * 1099511628211u;
    }
    model->state_bytes = round_up(sizeof(StateHeader) + floats * sizeof(float), kAlignment);
    return true;
}

}  // namespace ticket
