// The end of the network: log-probabilities, and back to [frame][symbol].
#pragma once

#include "finish.h"

namespace TICKET_ISA {

// The first `count` frames of one tile -> out (count, vocab). scratch: (vocab, L), where the sums of `rows` may be.
template <int L, typename Rows>
TICKET_INLINE void log_softmax(const Rows &rows, uint32_t vocab, uint32_t count, float *scratch, float *out) {
    Row<L> highest = same<L>(-1e30f), sum = {};
    for (uint32_t v = 0; v < vocab; v++) {
        const Row<L> y = rows(v);
        store<L>(scratch + size_t{v} * L, y);
        highest = max<L>(y, highest);
    }
    for (uint32_t v = 0; v < vocab; v++) sum = sum + exp<L>(load<L>(scratch + size_t{v} * L) - highest);
    float shift[L];
    store<L>(shift, sum);
    for (int t = 0; t < L; t++) shift[t] = __builtin_logf(shift[t]);
    store<L>(shift, load<L>(shift) + highest);
    for (uint32_t v = 0; v < vocab; v++) {
        float y[L];
        store<L>(y, load<L>(scratch + size_t{v} * L) - load<L>(shift));
        for (uint32_t t = 0; t < count; t++) out[size_t{t} * vocab + v] = y[t];
    }
}

}  // namespace TICKET_ISA
