// From the streams of a matrix to its weights.
#include "file.h"

namespace ticket {
namespace {

// Values of a matrix, one after the other. Decoders hold them by value: the compiler keeps their members in registers.
struct CodedInt8 {
    // Returns false where the value is out of range.
    bool read(int8_t *value) {
        *value = static_cast<int8_t>(stream.next() - 128);
        return *value != -128;
    }
    bool is_used_up() const { return stream.is_used_up(); }

    ByteStream stream;
};

struct RawInt8 {
    bool read(int8_t *value) {
        *value = static_cast<int8_t>(*next++);
        return *value != -128;
    }
    bool is_used_up() const { return true; }  // the parser compared the sizes

    const uint8_t *next;
};

struct RawFloat {
    bool read(float *value) {
        std::memcpy(value, next, sizeof *value);
        next += sizeof *value;
        return is_finite(*value);
    }
    bool is_used_up() const { return true; }

    const uint8_t *next;
};

struct RawHalf {
    bool read(float *value) {
        uint16_t half;
        std::memcpy(&half, next, sizeof half);
        next += sizeof half;
        *value = from_float16(half);
        return is_finite(*value);
    }
    bool is_used_up() const { return true; }

    const uint8_t *next;
};

template <typename Values, typename T>
bool decode_dense(const MatrixRecord &record, Values values, T *dense, Error *error) {
    const size_t count = size_t{record.rows} * record.cols;
    bool is_valid = true;
    for (size_t i = 0; i < count; ++i) is_valid &= values.read(&dense[i]);
    if (!is_valid) return error->set("%s: a weight is out of range", record.name);
    return values.is_used_up() || error->set("%s: the values do not end with the matrix", record.name);
}

template <typename Values, typename T>
bool decode_blocks(const MatrixRecord &record, Values values, T *dense, Error *error) {
    const uint32_t height = block_rows(record.format), width = block_cols(record.format);
    const uint32_t across = (record.cols + width - 1) / width;
    const uint64_t num_blocks = record.num_blocks();
    ByteStream gaps(record.gap_table, record.gaps, record.gap_bytes);
    uint64_t block = 0;  // the first that the next entry can be
    for (uint32_t entry = 0; entry < record.num_entries; ++entry, ++block) {
        uint32_t gap;
        do {
            gap = gaps.next();
            block += gap;
            if (block >= num_blocks) return error->set("%s: entry %u lies outside the matrix", record.name, entry);
        } while (gap == 255);
        const uint32_t number = static_cast<uint32_t>(block);
        const uint32_t top = number / across * height, left = number % across * width;
        for (uint32_t i = top; i < top + height; ++i) {
            for (uint32_t j = left; j < left + width; ++j) {
                T value;
                if (!values.read(&value)) return error->set("%s: a weight is out of range", record.name);
                if (i < record.rows && j < record.cols) {
                    dense[size_t{i} * record.cols + j] = value;
                } else if (value != 0) {
                    return error->set("%s: entry %u holds weights outside the matrix", record.name, entry);
                }
            }
        }
    }
    if (!gaps.is_used_up()) return error->set("%s: the gaps do not end with the entries", record.name);
    return values.is_used_up() || error->set("%s: the values do not end with the entries", record.name);
}

template <typename Values, typename T>
bool decode_values(const MatrixRecord &record, const Values &values, T *dense, Error *error) {
    return is_dense(record.format) ? decode_dense(record, values, dense, error)
                                   : decode_blocks(record, values, dense, error);
}

}  // namespace

bool is_int8(Format format) {
    return format == Format::dense_i8 || format == Format::csr_i8 || format == Format::bitmask_i8 ||
           format == Format::block1x4_i8 || format == Format::block4x4_i8;
}

bool is_dense(Format format) { return format == Format::dense_f32 || format == Format::dense_i8; }

uint32_t block_rows(Format format) { return format == Format::block4x4_i8 ? 4 : 1; }

uint32_t block_cols(Format format) {
    bool is_block =
        format == Format::block1x4_f32 || format == Format::block1x4_i8 || format == Format::block4x4_i8;
    return is_block ? 4 : 1;
}

uint64_t MatrixRecord::num_blocks() const {
    const uint32_t height = block_rows(format), width = block_cols(format);
    return uint64_t{(rows + height - 1) / height} * ((cols + width - 1) / width);
}

bool MatrixRecord::decode(int8_t *dense, Error *error) const {
    if (!is_int8(format)) return error->set("%s: holds floats", name);
    if (value_table == nullptr) return decode_values(*this, RawInt8{values}, dense, error);
    return decode_values(*this, CodedInt8{ByteStream(value_table, values, value_bytes)}, dense, error);
}

bool MatrixRecord::decode(float *dense, Error *error) const {
    if (is_int8(format)) return error->set("%s: holds integers", name);
    if (is_half) return decode_values(*this, RawHalf{values}, dense, error);
    return decode_values(*this, RawFloat{values}, dense, error);
}

}  // namespace ticket
