#include "file.h"

#include <new>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "ticket files are read with memcpy: little-endian processors only"
#endif

namespace ticket {
namespace {

constexpr uint8_t kMagic[8] = {'L', 'T', 'I', 'C', 'K', 'E', 'T', 0};
constexpr uint32_t kVersion = 1;
constexpr size_t kPrologueBytes = 32;
constexpr uint32_t kRaw = 0xFFFFFFFF;
constexpr uint32_t kRawHalf = 0xFFFFFFFE;
constexpr uint32_t kFloat16 = 1;

// Limits that no real model comes near: they keep a hostile file from eating the memory, and products of sizes far
// from overflow.
constexpr uint32_t kMaxTables = 64;
constexpr uint32_t kMaxBlocks = 256;
constexpr uint32_t kMaxChunk = 1024;
constexpr uint32_t kMaxKernel = 1023;
constexpr uint32_t kMaxSide = 16384;
constexpr uint32_t kMaxVocab = 65536;
constexpr uint64_t kMaxMatrix = uint64_t{1} << 26;
constexpr uint64_t kMaxWeights = uint64_t{1} << 28;

uint64_t checksum(const uint8_t *data, size_t num_bytes) {
    uint64_t hash = 14695981039346656037u;
    for (size_t at = 0; at < num_bytes; at += 8) {
        uint64_t word = 0;
        std::memcpy(&word, data + at, num_bytes - at < 8 ? num_bytes - at : 8);
        hash = (hash ^ word) * 1099511628211u;
        hash ^= hash >> 32;
    }
    return hash;
}

// Reads a file from front to back. Methods return false where they have set the error.
class Reader {
public:
    Reader(const uint8_t *data, size_t num_bytes, File *file, Error *error)
        : next_(data), end_(data + num_bytes), file_(file), error_(error) {}

    bool read() { return read_prologue() && read_config() && read_tables() && read_tensors(); }

private:
    size_t num_left() const { return static_cast<size_t>(end_ - next_); }

    bool take(void *target, size_t num_bytes, const char *name) {
        if (num_left() < num_bytes) return error_->set("%s: the file ends inside", name);
        std::memcpy(target, next_, num_bytes);
        next_ += num_bytes;
        return true;
    }

    bool read_prologue() {
        struct {
            uint8_t magic[8];
            uint32_t version, num_tables;
            uint64_t num_bytes, checksum;
        } prologue;
        static_assert(sizeof prologue == kPrologueBytes, "no padding");
        const size_t num_bytes = num_left();
        if (num_bytes < kPrologueBytes || std::memcmp(next_, kMagic, sizeof kMagic) != 0) {
            return error_->set("not a ticket file");
        }
        if (!take(&prologue, sizeof prologue, "prologue")) return false;
        if (prologue.version != kVersion) {
            return error_->set("ticket file of version %u, this engine reads %u", prologue.version, kVersion);
        }
        if (prologue.num_bytes != num_bytes) {
            return error_->set("%zu bytes, its own header says %llu: not copied whole", num_bytes,
                               static_cast<unsigned long long>(prologue.num_bytes));
        }
        if (prologue.checksum != checksum(next_, num_left())) return error_->set("altered: the checksum differs");
        file_->checksum = prologue.checksum;
        num_tables_ = prologue.num_tables;
        return check("num_tables", num_tables_, 0, kMaxTables);
    }

    bool check(const char *name, uint64_t value, uint64_t low, uint64_t high) {
        if (low <= value && value <= high) return true;
        return error_->set("%s is %llu, expected %llu to %llu", name, static_cast<unsigned long long>(value),
                           static_cast<unsigned long long>(low), static_cast<unsigned long long>(high));
    }

    bool read_config() {
        Config &config = file_->config;
        static_assert(sizeof config == 10 * sizeof(uint32_t), "no padding");
        if (!take(&config, sizeof config, "config")) return false;
        bool is_valid = check("num_mels", config.num_mels, 1, kMaxSide / 3) &&
                        check("stem_width", config.stem_width, 1, kMaxSide / 3) &&
                        check("model_width", config.model_width, 1, kMaxSide) &&
                        check("head_width", config.head_width, 1, kMaxSide) &&
                        check("num_blocks", config.num_blocks, 1, kMaxBlocks) &&
                        check("conv_kernel", config.conv_kernel, 1, kMaxKernel) &&
                        check("left_context", config.left_context, config.conv_reach(), kMaxSide) &&
                        check("chunk_frames", config.chunk_frames, 1, kMaxChunk) &&
                        check("vocab_size", config.vocab_size, 2, kMaxVocab) &&
                        check("max_chunk", config.max_chunk, 1, kMaxSide);
        if (!is_valid) return false;
        if (config.conv_kernel % 2 == 0) return error_->set("conv_kernel is %u, expected odd", config.conv_kernel);
        return read_blocks();
    }

    bool read_blocks() {
        const Config &config = file_->config;
        auto *blocks = static_cast<BlockRecord *>(std::malloc(config.num_blocks * sizeof(BlockRecord)));
        if (blocks == nullptr) return error_->set("not enough memory");
        for (uint32_t i = 0; i < config.num_blocks; ++i) new (&blocks[i]) BlockRecord();
        file_->blocks = blocks;
        file_->num_matrices = 3;  // conv1, conv2, head
        uint64_t state = 0;
        for (uint32_t i = 0; i < config.num_blocks; ++i) {
            BlockWidths &widths = blocks[i].widths;
            char names[5][kNameBytes];
            const char *fields[5] = {"ff1", "heads", "conv", "ff2", "conv_norm"};
            for (int field = 0; field < 5; ++field) {
                std::snprintf(names[field], kNameBytes, "blocks[%u].%s", i, fields[field]);
            }
            bool is_valid = take(&widths, sizeof widths, "config") && check(names[0], widths.ff1, 0, kMaxSide) &&
                            check(names[1], widths.heads, 0, kMaxSide / 3 / config.head_width) &&
                            check(names[2], widths.conv, 0, kMaxSide / 2) &&
                            check(names[3], widths.ff2, 0, kMaxSide) &&
                            check(names[4], widths.conv_norm, widths.conv, kMaxMatrix);
            if (!is_valid) return false;
            const uint32_t present[4] = {widths.ff1, widths.heads, widths.conv, widths.ff2};
            for (uint32_t width : present) file_->num_matrices += width != 0 ? 2 : 0;
            state += uint64_t{2} * config.left_context * widths.heads * config.head_width;
            state += uint64_t{config.conv_reach()} * widths.conv;
        }
        return check("numbers in the state of a stream", state, 0, kMaxState);
    }

    bool read_tables() {
        if (!file_->tables.allocate(num_tables_)) return error_->set("not enough memory");
        for (uint32_t i = 0; i < num_tables_; ++i) {
            uint16_t frequencies[256];
            if (!take(frequencies, sizeof frequencies, "tables")) return false;
            if (!file_->tables[i].build(frequencies)) {
                return error_->set("tables[%u]: the frequencies do not sum to %u", i, kFrequencySum);
            }
        }
        return true;
    }

    bool read_tensors() {
        const Config &config = file_->config;
        bool is_read = read_vector("mean", config.num_mels, &file_->mean) &&
                       read_vector("inverse_std", config.num_mels, &file_->inverse_std) &&
                       read_matrix("conv1", config.stem_width, 3 * config.num_mels, &file_->conv1) &&
                       read_matrix("conv2", config.model_width, 3 * config.stem_width, &file_->conv2);
        for (uint32_t i = 0; is_read && i < config.num_blocks; ++i) is_read = read_block(i, &file_->blocks[i]);
        if (!is_read || !read_matrix("head", config.vocab_size, config.model_width, &file_->head)) return false;
        return num_left() == 0 || error_->set("%zu bytes after the last tensor", num_left());
    }

    bool read_block(uint32_t number, BlockRecord *block) {
        const Config &config = file_->config;
        const BlockWidths &widths = block->widths;
        const uint32_t width = config.model_width, attention_width = widths.heads * config.head_width;
        std::snprintf(prefix_, sizeof prefix_, "blocks[%u].", number);
        if (widths.ff1 != 0 && !(read_matrix("ff1.up", widths.ff1, width, &block->ff1_up) &&
                                 read_matrix("ff1.down", width, widths.ff1, &block->ff1_down))) {
            return false;
        }
        if (widths.heads != 0 &&
            !(read_matrix("attention.query_key_value", 3 * attention_width, width, &block->query_key_value) &&
              read_vector("attention.position_bias", widths.heads * config.num_distances(), &block->position_bias) &&
              read_matrix("attention.out", width, attention_width, &block->out))) {
            return false;
        }
        if (widths.conv != 0 &&
            !(read_matrix("convolution.pointwise_in", 2 * widths.conv, width, &block->pointwise_in) &&
              read_matrix("convolution.depthwise", widths.conv, config.conv_kernel, &block->depthwise) &&
              check_depthwise(block->depthwise) &&
              read_vector("convolution.gain", widths.conv, &block->conv_gain) &&
              read_matrix("convolution.pointwise_out", width, widths.conv, &block->pointwise_out))) {
            return false;
        }
        if (widths.ff2 != 0 && !(read_matrix("ff2.up", widths.ff2, width, &block->ff2_up) &&
                                 read_matrix("ff2.down", width, widths.ff2, &block->ff2_down))) {
            return false;
        }
        bool is_read =
            read_vector("norm.gain", width, &block->norm_gain) && read_vector("norm.bias", width, &block->norm_bias);
        prefix_[0] = 0;
        return is_read;
    }

    bool check_depthwise(const MatrixRecord &record) {
        return is_dense(record.format) || error_->set("%s: format %u, expected a dense one", record.name,
                                                      static_cast<uint32_t>(record.format));
    }

    bool read_vector(const char *name, size_t count, Array<float> *vector) {
        char full[kNameBytes];
        std::snprintf(full, sizeof full, "%s%s", prefix_, name);
        return read_vector_named(full, count, vector);
    }

    bool read_vector_named(const char *name, size_t count, Array<float> *vector) {
        uint32_t encoding = 0;
        if (!take(&encoding, sizeof encoding, name)) return false;
        if (encoding > kFloat16) return error_->set("%s: encoding %u, expected 0 or 1", name, encoding);
        // Before memory is asked for: a short file cannot name a long vector.
        if (num_left() / (encoding == kFloat16 ? 2 : 4) < count) return error_->set("%s: the file ends inside", name);
        if (!vector->allocate(count)) return error_->set("not enough memory");
        for (size_t i = 0; i < count; ++i) {
            if (encoding == kFloat16) {
                uint16_t half = 0;
                if (!take(&half, sizeof half, name)) return false;
                (*vector)[i] = from_float16(half);
            } else if (!take(&(*vector)[i], sizeof(float), name)) {
                return false;
            }
            if (!is_finite((*vector)[i])) return error_->set("%s: number %zu is not finite", name, i);
        }
        return true;
    }

    bool read_matrix(const char *name, uint32_t rows, uint32_t cols, MatrixRecord *record) {
        std::snprintf(record->name, sizeof record->name, "%s%s", prefix_, name);
        struct {
            uint32_t format, rows, cols, num_entries, gap_table, value_table, gap_bytes, value_bytes;
        } header;
        if (!take(&header, sizeof header, record->name)) return false;
        if (header.format >= kNumFormats) return error_->set("%s: unknown format %u", record->name, header.format);
        if (header.rows != rows) return error_->set("%s: %u rows, expected %u", record->name, header.rows, rows);
        if (header.cols != cols) return error_->set("%s: %u columns, expected %u", record->name, header.cols, cols);
        const uint64_t size = uint64_t{rows} * cols;
        num_weights_ += size;
        if (size > kMaxMatrix || num_weights_ > kMaxWeights) {
            return error_->set("%s: more weights than this engine supports", record->name);
        }
        record->format = static_cast<Format>(header.format);
        record->rows = rows;
        record->cols = cols;
        record->num_entries = header.num_entries;
        record->gap_bytes = header.gap_bytes;
        record->value_bytes = header.value_bytes;
        if (header.value_table == kRawHalf && !is_int8(record->format)) {
            record->is_half = true;
            header.value_table = kRaw;
        }
        return find_table(header.gap_table, record, &record->gap_table) &&
               find_table(header.value_table, record, &record->value_table) && check_streams(*record) &&
               read_part("bias", rows, *record, &record->bias) &&
               (!is_int8(record->format) || read_part("scale", rows, *record, &record->scale)) &&
               skip(record->gap_bytes, *record, &record->gaps) &&
               skip(record->value_bytes, *record, &record->values);
    }

    bool find_table(uint32_t index, const MatrixRecord *record, const SlotTable **table) {
        if (index == kRaw) return true;
        if (index >= num_tables_) return error_->set("%s: table %u of %u", record->name, index, num_tables_);
        *table = &file_->tables[index];
        return true;
    }

    // Whether the sizes of the streams can belong to the entries.
    bool check_streams(const MatrixRecord &record) {
        const char *name = record.name;
        uint64_t num_values = uint64_t{record.rows} * record.cols;
        if (is_dense(record.format)) {
            if (record.num_entries != 0 || record.gap_bytes != 0 || record.gap_table != nullptr) {
                return error_->set("%s: dense, yet with entries", name);
            }
        } else {
            if (record.num_entries > record.num_blocks()) {
                return error_->set("%s: %u entries, at most %llu fit", name, record.num_entries,
                                   static_cast<unsigned long long>(record.num_blocks()));
            }
            if (record.gap_table == nullptr && record.gap_bytes < record.num_entries) {
                return error_->set("%s: %zu bytes of gaps for %u entries", name, record.gap_bytes, record.num_entries);
            }
            num_values = uint64_t{record.num_entries} * block_rows(record.format) * block_cols(record.format);
        }
        if (!is_int8(record.format)) {
            if (record.value_table != nullptr) return error_->set("%s: float values are never coded", name);
            num_values *= record.is_half ? sizeof(uint16_t) : sizeof(float);
        }
        if (record.value_table == nullptr && record.value_bytes != num_values) {
            return error_->set("%s: %zu bytes of values, expected %llu", name, record.value_bytes,
                               static_cast<unsigned long long>(num_values));
        }
        return true;
    }

    bool read_part(const char *part, size_t count, const MatrixRecord &record, Array<float> *vector) {
        char full[kNameBytes + 8];
        std::snprintf(full, sizeof full, "%s.%s", record.name, part);
        return read_vector_named(full, count, vector);
    }

    bool skip(size_t num_bytes, const MatrixRecord &record, const uint8_t **start) {
        if (num_left() < num_bytes) return error_->set("%s: the file ends inside", record.name);
        *start = next_;
        next_ += num_bytes;
        return true;
    }

    const uint8_t *next_, *end_;
    File *file_;
    Error *error_;
    uint32_t num_tables_ = 0;
    uint64_t num_weights_ = 0;
    char prefix_[24] = "";
};

}  // namespace

float from_float16(uint16_t half) {
    uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, exponent = (half >> 10) & 31, fraction = half & 1023;
    if (exponent == 0) {
        float value = static_cast<float>(fraction) * (1.0f / (1 << 24));
        return sign != 0 ? -value : value;
    }
    exponent = exponent == 31 ? 255 : exponent + 112;
    uint32_t bits = sign | exponent << 23 | fraction << 13;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

File::~File() {
    if (blocks == nullptr) return;
    for (uint32_t i = 0; i < config.num_blocks; ++i) blocks[i].~BlockRecord();
    std::free(blocks);
}

bool parse_file(const uint8_t *data, size_t num_bytes, File *file, Error *error) {
    return Reader(data, num_bytes, file, error).read();
}

}  // namespace ticket
