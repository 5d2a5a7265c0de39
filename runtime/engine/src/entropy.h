// Entropy coding of bytes by rANS: a stream costs close to its Shannon entropy under a table of 256 frequencies.
// Source: Duda 2013 (asymmetric numeral systems), the range variant. Layout of a stream: docs/formats.md.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ticket {

constexpr uint32_t kFrequencyBits = 14;
constexpr uint32_t kFrequencySum = 1u << kFrequencyBits;
// States stay in [kLowestState, 2^32): one 16-bit word at most is read or written for a symbol.
constexpr uint32_t kLowestState = 1u << 16;
constexpr size_t kStateBytes = 4;

// The frequencies of a table, laid out for decoding.
struct SlotTable {
    uint8_t symbol[kFrequencySum];
    uint16_t frequency[256], start[256];

    // Returns false where the frequencies do not sum to kFrequencySum.
    bool build(const uint16_t *frequencies);
};

// A stream of bytes, coded under a table or, without one, stored as they are. Whatever the stream holds, reading stays
// inside it: past its end `next` returns some byte, and `is_used_up` is false from then on.
class ByteStream {
public:
    ByteStream(const SlotTable *table, const uint8_t *data, size_t num_bytes);

    uint8_t next() {
        if (table_ == nullptr) {
            if (next_ != end_) return *next_++;
            is_intact_ = false;
            return 0;
        }
        uint32_t slot = state_ & (kFrequencySum - 1);
        uint8_t symbol = table_->symbol[slot];
        state_ = table_->frequency[symbol] * (state_ >> kFrequencyBits) + slot - table_->start[symbol];
        if (state_ < kLowestState) refill();
        return symbol;
    }

    // Whether every byte was read, no more, and the stream ended as its encoder began.
    bool is_used_up() const { return is_intact_ && next_ == end_ && (table_ == nullptr || state_ == kLowestState); }

private:
    void refill() {
        if (end_ - next_ < 2) {
            is_intact_ = false;
            state_ = kLowestState;
            return;
        }
        state_ = state_ << 16 | static_cast<uint32_t>(next_[0]) | static_cast<uint32_t>(next_[1]) << 8;
        next_ += 2;
    }

    const SlotTable *table_;
    const uint8_t *next_, *end_;
    uint32_t state_ = kLowestState;
    bool is_intact_ = true;
};

// The encoder: see ticket_encode.
size_t encode(const uint16_t *frequencies, const uint8_t *symbols, size_t num_symbols, uint8_t *out, size_t out_bytes);

}  // namespace ticket
