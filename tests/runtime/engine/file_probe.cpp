// Shows tests what the engine's parser reads from a file, and drives its entropy coder.
#include <initializer_list>

#include "../../../runtime/engine/src/file.h"

using namespace ticket;

namespace {

using Visit = void (*)(const char *name, uint32_t format, uint32_t rows, uint32_t cols, const float *values);

bool show(const MatrixRecord &record, Visit visit, Error *error) {
    if (record.rows == 0) return true;
    const size_t count = size_t{record.rows} * record.cols;
    Array<float> floats;
    if (!floats.allocate(count)) return error->set("not enough memory");
    if (is_int8(record.format)) {
        Array<int8_t> integers;
        if (!integers.allocate(count)) return error->set("not enough memory");
        if (!record.decode(integers.data(), error)) return false;
        for (size_t i = 0; i < count; ++i) floats[i] = static_cast<float>(integers[i]);
    } else if (!record.decode(floats.data(), error)) {
        return false;
    }
    const uint32_t format = static_cast<uint32_t>(record.format);
    visit(record.name, format, record.rows, record.cols, floats.data());
    visit("bias", 0, record.rows, 1, record.bias.data());
    if (is_int8(record.format)) visit("scale", 0, record.rows, 1, record.scale.data());
    return true;
}

void show(const char *name, const Array<float> &vector, Visit visit) {
    if (vector.size() != 0) visit(name, 0, static_cast<uint32_t>(vector.size()), 1, vector.data());
}

}  // namespace

extern "C" int probe_file(const uint8_t *data, size_t num_bytes, Visit visit, char *text, size_t text_bytes) {
    Error error(text, text_bytes);
    File file;
    if (!parse_file(data, num_bytes, &file, &error)) return -1;
    show("mean", file.mean, visit);
    show("inverse_std", file.inverse_std, visit);
    bool is_read = show(file.conv1, visit, &error) && show(file.conv2, visit, &error);
    for (uint32_t i = 0; is_read && i < file.config.num_blocks; ++i) {
        const BlockRecord &block = file.blocks[i];
        for (const MatrixRecord *record : {&block.ff1_up, &block.ff1_down, &block.query_key_value, &block.out,
                                           &block.pointwise_in, &block.depthwise, &block.pointwise_out, &block.ff2_up,
                                           &block.ff2_down}) {
            is_read = is_read && show(*record, visit, &error);
        }
        show("position_bias", block.position_bias, visit);
        show("gain", block.conv_gain, visit);
        show("norm.gain", block.norm_gain, visit);
        show("norm.bias", block.norm_bias, visit);
    }
    if (!is_read || !show(file.head, visit, &error)) return -1;
    return static_cast<int>(file.num_matrices);
}

extern "C" size_t probe_encode(const uint16_t *frequencies, const uint8_t *symbols, size_t num_symbols, uint8_t *out,
                               size_t out_bytes) {
    return encode(frequencies, symbols, num_symbols, out, out_bytes);
}

// Returns whether `num_symbols` symbols use the stream up; they are written to `symbols` in any case.
extern "C" int probe_decode(const uint16_t *frequencies, const uint8_t *stream, size_t stream_bytes, uint8_t *symbols,
                            size_t num_symbols) {
    static SlotTable table;
    if (!table.build(frequencies)) return -1;
    ByteStream bytes(&table, stream, stream_bytes);
    for (size_t i = 0; i < num_symbols; ++i) symbols[i] = bytes.next();
    return bytes.is_used_up() ? 1 : 0;
}
