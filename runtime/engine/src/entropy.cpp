#include "entropy.h"

#include <cstring>

namespace ticket {

bool SlotTable::build(const uint16_t *frequencies) {
    uint32_t sum = 0;
    for (size_t i = 0; i < 256; ++i) {
        uint32_t count = frequencies[i];
        if (count > kFrequencySum - sum) return false;
        frequency[i] = static_cast<uint16_t>(count);
        start[i] = static_cast<uint16_t>(sum);
        std::memset(symbol + sum, static_cast<int>(i), count);
        sum += count;
    }
    return sum == kFrequencySum;
}

ByteStream::ByteStream(const SlotTable *table, const uint8_t *data, size_t num_bytes)
    : table_(table), next_(data), end_(data + num_bytes) {
    if (table_ == nullptr) return;
    if (num_bytes < kStateBytes) {
        is_intact_ = false;
        return;
    }
    std::memcpy(&state_, next_, kStateBytes);
    next_ += kStateBytes;
    // No encoder ends below: a symbol taken from such a state could need more than one word.
    if (state_ < kLowestState) {
        is_intact_ = false;
        state_ = kLowestState;
    }
}

size_t encode(const uint16_t *frequencies, const uint8_t *symbols, size_t num_symbols, uint8_t *out, size_t out_bytes) {
    uint32_t start[256], sum = 0;
    for (size_t i = 0; i < 256; ++i) {
        start[i] = sum;
        sum += frequencies[i];
    }
    if (sum != kFrequencySum || out_bytes < kStateBytes) return 0;
    // The decoder reads words in the opposite order: they are laid down from the end of `out`, then moved.
    size_t at = out_bytes;
    uint32_t state = kLowestState;
    for (size_t i = num_symbols; i-- > 0;) {
        uint32_t symbol = symbols[i], frequency = frequencies[symbol];
        if (frequency == 0) return 0;
        if (state >= static_cast<uint64_t>(frequency) << (32 - kFrequencyBits)) {
            if (at < kStateBytes + 2) return 0;
            at -= 2;
            out[at] = static_cast<uint8_t>(state);
            out[at + 1] = static_cast<uint8_t>(state >> 8);
            state >>= 16;
        }
        state = (state / frequency << kFrequencyBits) + state % frequency + start[symbol];
    }
    std::memmove(out + kStateBytes, out + at, out_bytes - at);
    std::memcpy(out, &state, kStateBytes);
    return kStateBytes + (out_bytes - at);
}

}  // namespace ticket
