// The scratch memory of a step, and how large it has to be.
#pragma once

#include "model.h"

namespace TICKET_ISA {

using ticket::Model;
using ticket::round_up;

// Cuts one piece of memory into the buffers of a step; without memory it only counts.
class Cutter {
public:
    explicit Cutter(void *memory) : memory_(static_cast<uint8_t *>(memory)) {}
    template <typename T>
    T *cut(uint64_t count) {
        T *out = memory_ == nullptr ? nullptr : reinterpret_cast<T *>(memory_ + static_cast<size_t>(used_));
        used_ += (count * sizeof(T) + ticket::kAlignment - 1) / ticket::kAlignment * ticket::kAlignment;
        return out;
    }
    // 64 bits everywhere: what does not fit in the address space must not seem small.
    uint64_t used() const { return used_; }

private:
    uint8_t *memory_;
    uint64_t used_ = 0;
};

static uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

// Most rows that any product of a model reads, and writes.
struct Sizes {
    uint32_t inputs = 0, outputs = 0;
};

static Sizes sizes_of(const Model &model) {
    const ticket::Config &c = model.config;
    Sizes s;
    s.inputs = larger(larger(3 * c.num_mels, 3 * c.stem_width), c.model_width);
    s.outputs = larger(larger(c.stem_width, c.vocab_size), c.model_width);
    for (size_t b = 0; b < model.blocks.size(); b++) {
        const ticket::BlockWidths &w = model.blocks[b]->widths;
        const uint32_t ff = larger(w.ff1, w.ff2), heads = w.heads * c.head_width;
        s.inputs = larger(s.inputs, larger(larger(ff, heads), w.conv));
        s.outputs = larger(s.outputs, larger(larger(ff, 3 * heads), 2 * w.conv));
    }
    return s;
}

}  // namespace TICKET_ISA
