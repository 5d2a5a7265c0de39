#include "pack.h"

#include "model.h"

namespace ticket {

namespace {

// The block of H x W values whose corner is (row, column), zeros beyond the matrix's edge. Returns whether any is not
// zero.
template <typename T, uint32_t H, uint32_t W>
bool read_block(const T *dense, const MatrixRecord &m, uint32_t row, uint32_t column, T *block) {
    const T *corner = dense + size_t{row} * m.cols + column;
    if (row + H <= m.rows && column + W <= m.cols) {
        for (uint32_t r = 0; r < H; r++) std::memcpy(block + r * W, corner + size_t{r} * m.cols, W * sizeof(T));
    } else {
        for (uint32_t i = 0; i < H * W; i++) {
            const bool is_inside = row + i / W < m.rows && column + i % W < m.cols;
            block[i] = is_inside ? corner[size_t{i / W} * m.cols + i % W] : T{};
        }
    }
    bool is_kept = false;
    for (uint32_t i = 0; i < H * W; i++) is_kept |= block[i] != T{};
    return is_kept;
}

bool out_of_memory(Error *error) { return error->set("not enough memory"); }

template <typename T>
bool pack_dense(const T *dense, const MatrixRecord &m, uint32_t panel, uint32_t width, Array<uint8_t> *values,
                Error *error) {
    const size_t num_panels = round_up(m.rows, panel) / panel, num_columns = round_up(m.cols, width) / width;
    if (!values->allocate(num_panels * panel * num_columns * width * sizeof(T))) return out_of_memory(error);
    T *out = reinterpret_cast<T *>(values->data());
    for (uint32_t row = 0; row < m.rows; row++) {
        const T *source = dense + size_t{row} * m.cols;
        T *target = out + size_t{row / panel} * panel * num_columns * width + size_t{row % panel} * width;
        for (uint32_t column = 0; column < m.cols; column++) {
            target[size_t{column / width} * panel * width + column % width] = source[column];
        }
    }
    return true;
}

bool pack_bits(uint32_t panel, Packed *packed, Error *error) {
    Array<uint8_t> dense(static_cast<Array<uint8_t> &&>(packed->values));
    const size_t panel_bytes = round_quads(packed->cols) * panel, num_panels = round_up(packed->rows, panel) / panel;
    size_t num_values = 0;
    for (size_t i = 0; i < dense.size(); i++) num_values += dense[i] != 0;
    const size_t num_words = round_up(panel_bytes, 64) / 64;
    if (!packed->values.allocate(num_values + 64) || !packed->bits.allocate(num_panels * num_words)) {
        return out_of_memory(error);
    }
    size_t at = 0;
    for (size_t p = 0; p < num_panels; p++) {
        for (size_t i = 0; i < panel_bytes; i++) {
            const uint8_t value = dense[p * panel_bytes + i];
            if (value == 0) continue;
            packed->bits[p * num_words + i / 64] |= uint64_t{1} << (i % 64);
            packed->values[at++] = value;
        }
    }
    return true;
}

// Sort rows (of blocks) by how many entries they have, the longest first, and write them in that order, N at a time.
template <typename T, uint32_t H, uint32_t W, uint32_t N>
bool pack_sparse(const T *dense, const MatrixRecord &m, Packed *packed, Error *error) {
    constexpr bool kIsCsr = W == 1;
    constexpr uint32_t kUnit = kIsCsr ? 4 : 1;  // single weights are read four at a time
    const uint32_t num_rows = static_cast<uint32_t>(round_up(m.rows, H) / H);
    const uint32_t num_columns = static_cast<uint32_t>(round_up(m.cols, W) / W);
    const uint32_t num_sets = static_cast<uint32_t>(round_up(num_rows, N) / N);
    const uint32_t longest = static_cast<uint32_t>(round_up(num_columns, kUnit) / kUnit);
    Array<uint32_t> lengths, starts;
    if (!lengths.allocate(num_rows) || !starts.allocate(size_t{longest} + 2) ||
        !packed->order.allocate(size_t{num_sets} * N)) {
        return out_of_memory(error);
    }
    T block[H * W];
    for (uint32_t row = 0; row < num_rows; row++) {
        uint32_t count = 0;
        for (uint32_t column = 0; column < num_columns; column++) {
            count += read_block<T, H, W>(dense, m, row * H, column * W, block);
        }
        lengths[row] = static_cast<uint32_t>(round_up(count, kUnit) / kUnit);
        starts[longest - lengths[row] + 1]++;
    }
    for (uint32_t i = 0; i <= longest; i++) starts[i + 1] += starts[i];
    for (uint32_t row = 0; row < num_rows; row++) {
        packed->order[starts[longest - lengths[row]]++] = static_cast<uint16_t>(row);
    }
    for (uint32_t i = num_rows; i < num_sets * N; i++) packed->order[i] = packed->order[num_rows - 1];
    // Rows are as long as the first of their set.
    size_t num_entries = 0, num_groups = 0;
    for (uint32_t set = 0; set < num_sets; set++) {
        const uint32_t length = lengths[packed->order[set * N]];
        num_entries += size_t{length} * kUnit * N;
        num_groups += set == 0 || length != lengths[packed->order[(set - 1) * N]];
    }
    if (!packed->groups.allocate(num_groups) || !packed->index.allocate(num_entries) ||
        !packed->values.allocate(num_entries * H * W * sizeof(T))) {
        return out_of_memory(error);
    }
    T *values = reinterpret_cast<T *>(packed->values.data());
    size_t start = 0, group = 0;
    for (uint32_t set = 0; set < num_sets; set++) {
        const uint32_t length = lengths[packed->order[set * N]];
        if (set != 0 && length != packed->groups[group].length) group++;
        packed->groups[group].length = length;
        packed->groups[group].num_sets++;
        for (uint32_t n = 0; n < N; n++) {
            const auto place = [&](uint32_t entry) {
                return start + (size_t{entry / kUnit} * N + n) * kUnit + entry % kUnit;
            };
            const uint32_t row = packed->order[set * N + n];
            uint32_t entry = 0;
            uint16_t last = 0;
            for (uint32_t column = 0; column < num_columns; column++) {
                if (!read_block<T, H, W>(dense, m, row * H, column * W, block)) continue;
                last = static_cast<uint16_t>(kIsCsr ? 2 * column : column);
                packed->index[place(entry)] = last;
                std::memcpy(values + place(entry) * H * W, block, sizeof block);
                entry++;
            }
            // What fills a row up multiplies activations that are in the cache anyway, by zero.
            for (; entry < length * kUnit; entry++) packed->index[place(entry)] = last;
        }
        start += size_t{length} * kUnit * N;
    }
    return true;
}

template <typename T>
bool pack_values(const T *dense, const MatrixRecord &record, uint32_t panel, Packed *packed, Error *error) {
    switch (record.format) {
        case Format::dense_f32:
            return pack_dense(dense, record, panel, 1, &packed->values, error);
        case Format::dense_i8:
            return pack_dense(dense, record, panel, 4, &packed->values, error);
        case Format::bitmask_i8:
            return pack_dense(dense, record, panel, 4, &packed->values, error) && pack_bits(panel, packed, error);
        case Format::csr_f32:
        case Format::csr_i8:
            return pack_sparse<T, 1, 1, kRowsOfSet>(dense, record, packed, error);
        case Format::block1x4_f32:
        case Format::block1x4_i8:
            return pack_sparse<T, 1, 4, kRowsOfSet>(dense, record, packed, error);
        case Format::block4x4_i8:
            return pack_sparse<T, 4, 4, kBlockRowsOfSet>(dense, record, packed, error);
    }
    return error->set("unknown format");
}

}  // namespace

size_t Packed::num_bytes() const {
    return (bias.size() + scale.size() + offset.size() + sums.size()) * sizeof(float) + values.size() +
           bits.size() * sizeof(uint64_t) + (index.size() + order.size()) * sizeof(uint16_t) +
           groups.size() * sizeof(Group);
}

bool pack(const MatrixRecord &record, const int8_t *dense, uint32_t panel, Packed *packed, Error *error) {
    packed->format = record.format;
    packed->rows = record.rows;
    packed->cols = record.cols;
    if (!packed->offset.allocate(record.rows) || !packed->sums.allocate(record.rows) ||
        !packed->bias.copy_from(record.bias) || !packed->scale.copy_from(record.scale)) {
        return out_of_memory(error);
    }
    for (uint32_t row = 0; row < record.rows; row++) {
        int32_t sum = 0;
        for (uint32_t column = 0; column < record.cols; column++) sum += dense[size_t{row} * record.cols + column];
        packed->sums[row] = sum;
        packed->offset[row] = -packed->scale[row] * static_cast<float>(sum);
    }
    return pack_values(dense, record, panel, packed, error);
}

bool pack(const MatrixRecord &record, uint32_t panel, Packed *packed, Error *error) {
    const size_t size = size_t{record.rows} * record.cols;
    if (is_int8(record.format)) {
        Array<int8_t> dense;
        if (!dense.allocate(size)) return out_of_memory(error);
        return record.decode(dense.data(), error) && pack(record, dense.data(), panel, packed, error);
    }
    packed->format = record.format;
    packed->rows = record.rows;
    packed->cols = record.cols;
    Array<float> dense;
    if (!dense.allocate(size)) return out_of_memory(error);
    return packed->bias.copy_from(record.bias) && record.decode(dense.data(), error) &&
           pack_values(dense.data(), record, panel, packed, error);
}

}  // namespace ticket
