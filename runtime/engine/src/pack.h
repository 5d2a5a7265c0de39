// Weights as the kernels read them. One layout serves every instruction set but for the height of a panel.
#pragma once

#include "file.h"

namespace ticket {

// Rows that a kernel works on at once: single ones, and those of 4x4 blocks.
constexpr uint32_t kRowsOfSet = 4, kBlockRowsOfSet = 2;

// Sets of rows of equal length that stand together: their loops need no prediction.
struct Group {
    uint32_t length;  // entries of each row: quads of weights (csr), or blocks
    uint32_t num_sets;
};

struct Packed {
    Format format = Format::dense_f32;
    uint32_t rows = 0, cols = 0;
    Array<float> bias;    // (rows)
    Array<float> scale;   // (rows), int8: what one step of the integers is worth
    Array<float> offset;  // (rows), int8: -scale * sum of the row, which the activations' zero point multiplies
    Array<int32_t> sums;  // (rows), int8: of each row's integers
    // dense_f32:  float (panels, cols, panel)
    // dense_i8:   int8 (panels, cols / 4, panel, 4)
    // bitmask_i8: the values of dense_i8 that are not zero, in that order
    // csr:        float or int8 (sets, entries, rows of a set, 4)
    // block1x4:   the same;  block4x4: int8 (sets, entries, rows of a set, 4 rows, 4 columns)
    Array<uint8_t> values;
    Array<uint64_t> bits;     // bitmask_i8: one bit for each value of dense_i8, 64 a word, panels begin at words
    Array<uint16_t> index;    // (sets, entries, rows of a set): csr: (4) twice the column; blocks: quad of columns
    Array<Group> groups;
    Array<uint16_t> order;    // rows (of blocks) of the sets; what the last one lacks repeats its last row

    size_t num_bytes() const;
};

// Lay a matrix out. panel: rows of a dense panel, 4 or 16. The second takes the decoded values of an int8 format.
bool pack(const MatrixRecord &record, uint32_t panel, Packed *packed, Error *error);
bool pack(const MatrixRecord &record, const int8_t *dense, uint32_t panel, Packed *packed, Error *error);

}  // namespace ticket
