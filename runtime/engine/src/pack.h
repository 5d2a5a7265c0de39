// Weights as the kernels read them. One layout serves every instruction set but for the height of a panel.
#pragma once

#include "file.h"

namespace ticket {

// Rows of equal length that stand together: their loops need no prediction.
struct Group {
    uint32_t length;    // entries of each row: quads of weights (csr), or blocks
    uint32_t num_rows;  // rows, or rows of blocks (4x4)
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
    // csr:        float or int8, quads of one row after the other
    // block1x4:   float or int8 (blocks, 4);  block4x4: int8 (blocks, 4 rows, 4 columns)
    Array<uint8_t> values;
    Array<uint64_t> bits;     // bitmask_i8: one bit for each value of dense_i8, 64 a word, panels begin at words
    Array<uint16_t> index;    // csr: twice the column of each weight, padded to quads; blocks: quad of columns
    Array<Group> groups;
    Array<uint16_t> order;    // csr, block1x4: rows in the order of the groups; block4x4: rows of blocks

    size_t num_bytes() const;
};

// Lay a matrix out. panel: rows of a dense panel, 4 or 16. The second takes the decoded values of an int8 format.
bool pack(const MatrixRecord &record, uint32_t panel, Packed *packed, Error *error);
bool pack(const MatrixRecord &record, const int8_t *dense, uint32_t panel, Packed *packed, Error *error);

}  // namespace ticket
