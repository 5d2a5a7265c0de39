// Attention in 8-bit integers, for models whose weights are such.
//
// Queries, keys and values are rounded for each frame and head by itself, symmetrically: there is no zero point to take
// along. Softmax weights are rounded to 0 ... 255; what a frame's values are worth is multiplied into them before. A
// head's cache is a third of what floats take, and its tiles lie one after the other.
#pragma once

#include "attention.h"

#if defined(TICKET_HAS_INT8_ATTENTION)

namespace TICKET_ISA {

// From here on a tile surely takes no more memory than in floats, which is what a state has room for.
constexpr uint32_t kLeastInt8Width = 4;

// Where a head's cache holds what of one tile.
template <int L>
struct CachedTile {
    uint8_t *data;
    size_t value_bytes;
    uint32_t width;

    CachedTile(uint8_t *cache, uint32_t head_width)
        : data(cache), value_bytes(ticket::round_up(size_t{head_width} * L, 64)), width(head_width) {}
    size_t bytes() const { return ticket::round_quads(width) * L + value_bytes + 3 * L * sizeof(float); }
    int8_t *values() const { return reinterpret_cast<int8_t *>(data + 3 * L * sizeof(float)); }  // (width, L)
    int8_t *keys() const { return values() + value_bytes; }                                      // (width / 4, L, 4)
    float *key_steps() const { return reinterpret_cast<float *>(data); }
    float *value_steps() const { return key_steps() + L; }
    float *starts() const { return key_steps() + 2 * L; }  // integers: what the sums of a key begin with
};

// q = round(x / step) + 128, which is 1 ... 255.
template <int L>
class SymmetricQuantiser {
public:
    explicit SymmetricQuantiser(const Range<L> &range) {
        const Row<L> largest = max<L>(range.high, same<L>(0.0f) - range.low);
        step = max<L>(largest * (1.0f / 127.0f), same<L>(1e-20f));
        inverse_ = same<L>(1.0f) / step;
    }
    TICKET_ALWAYS_INLINE Sums<L> operator()(const float *x) const {
        Row<L> rounded = load<L>(x) * inverse_ + kRounder;
        Sums<L> out;
        TICKET_UNROLL
        for (int r = 0; r < Row<L>::R; r++) {
            out.v[r] = reinterpret_cast<typename Row<L>::I>(rounded.v[r]) - static_cast<int32_t>(kRounderBits - 128);
        }
        return out;
    }

    Row<L> step;

private:
    Row<L> inverse_;
};

template <int L>
TICKET_INLINE typename Row<L>::I four_bytes(const Sums<L> *x) {
    return x[0].v[0] | x[1].v[0] << 8 | x[2].v[0] << 16 | shifted<L>(x[3].v[0], 24);
}

// (width, L) -> (width / 4, L, 4), 128 beyond the width, all xor `flip`; returns the sums over the width.
template <int L>
TICKET_INLINE Sums<L> quantise_quads(const SymmetricQuantiser<L> &quantise, const float *x, uint32_t width,
                                     int32_t flip, uint8_t *out) {
    typedef typename Row<L>::I I;
    Sums<L> total = {};
    for (uint32_t e = 0; e < width; e += 4, out += 4 * L) {
        Sums<L> four[4];
        TICKET_UNROLL
        for (uint32_t i = 0; i < 4; i++) {
            four[i] = e + i < width ? quantise(x + size_t{e + i} * L) : Sums<L>{{128 - I{}}};
            add_sums<L>(total, four[i]);
        }
        *reinterpret_cast<I *>(out) = four_bytes<L>(four) ^ flip;
    }
    return total;
}

constexpr int32_t kFlipSigns = static_cast<int32_t>(0x80808080);  // q -> q - 128, as signed bytes

template <int L>
TICKET_INLINE void cache_head(const float *keys, const float *values, const CachedTile<L> &tile) {
    typedef typename Row<L>::I I;
    const uint32_t width = tile.width;
    const auto range = [&](const float *x) {
        return range_of<L>(width, [&](uint32_t e) { return load<L>(x + size_t{e} * L); });
    };
    const SymmetricQuantiser<L> key(range(keys)), value(range(values));
    Sums<L> total = quantise_quads<L>(key, keys, width, kFlipSigns, reinterpret_cast<uint8_t *>(tile.keys()));
    const int32_t shift = 128 * static_cast<int32_t>(ticket::round_quads(width));
    store<L>(tile.starts(), Sums<L>{{(shift - total.v[0]) * 128}});
    store<L>(tile.key_steps(), key.step);
    store<L>(tile.value_steps(), value.step);
    uint8_t *out = reinterpret_cast<uint8_t *>(tile.values());
    for (uint32_t e = 0; e < width; e += 4) {
        I four[4] = {};
        TICKET_UNROLL
        for (uint32_t i = 0; i < 4; i++) {
            if (e + i < width) four[i] = value(values + size_t{e + i} * L).v[0] ^ 128;
        }
        store_bytes4<L>(out + size_t{e} * L, four);
    }
}

// Scores of the keys of a tile.
template <int L>
TICKET_INLINE void score_tile(const uint8_t *query, Row<L> query_step, const CachedTile<L> &tile, const float *bias,
                              Row<L> *scores) {
    typedef typename Row<L>::I I;
    Sums<L> sums[L];
    TICKET_UNROLL
    for (int i = 0; i < L; i++) {
        int32_t start;
        std::memcpy(&start, tile.starts() + i, sizeof start);
        sums[i].v[0] = start - I{};
    }
    const int8_t *keys = tile.keys();
    for (uint32_t e = 0; e < tile.width; e += 4, query += 4 * L, keys += 4 * L) {
        const Quads<L> q = load_quads<L>(query);
        TICKET_UNROLL
        for (int i = 0; i < L; i++) sums[i].v[0] = dot4<L>(sums[i].v[0], q, keys + 4 * i);
    }
    TICKET_UNROLL
    for (int i = 0; i < L; i++) {
        scores[i] = load<L>(bias - i);
        accumulate<L>(scores[i], to_row<L>(sums[i]) * tile.key_steps()[i], query_step);
    }
}

// B rows of the values, weighted. weights: (keys / 4, L, 4).
template <int L, int B>
TICKET_INLINE void mix_tiles(const Head &head, const CachedTile<L> &ring, const uint8_t *weights, uint32_t e,
                             Row<L> scale, float *out, Range<L> &range) {
    Sums<L> sums[B] = {};
    for (uint32_t s = 0; s < head.num_segments; s++) {
        const int8_t *values = ring.values() + head.segments[s].tile * ring.bytes() + size_t{e} * L;
        for (int j = 0; j < L; j += 4, weights += 4 * L) {
            const Quads<L> w = load_quads<L>(weights);
            TICKET_UNROLL
            for (int i = 0; i < B; i++) sums[i].v[0] = dot4<L>(sums[i].v[0], w, values + i * L + j);
        }
    }
    TICKET_UNROLL
    for (int i = 0; i < B; i++) {
        const Row<L> y = to_row<L>(sums[i]) * scale;
        widen<L>(range, y);
        store<L>(out + (e + i) * L, y);
    }
}

// One head of one tile of queries, (width, L), which the result replaces; its range widens `range`. cache: the head's,
// beginning with the ring's first tile.
template <int L>
static void attend_int8(const Head &head, uint8_t *cache, float *query, Range<L> &range) {
    const CachedTile<L> ring(cache, head.width);
    const size_t tile_bytes = ring.bytes();
    uint8_t *quads = reinterpret_cast<uint8_t *>(head.scores);
    const SymmetricQuantiser<L> quantise(
        range_of<L>(head.width, [&](uint32_t e) { return load<L>(query + size_t{e} * L); }));
    quantise_quads<L>(quantise, query, head.width, 0, quads);
    float *scores = head.scores + ticket::round_quads(head.width) / 4 * L, *next = scores;
    Row<L> highest = same<L>(-1e30f), largest_step = {};
    for (uint32_t s = 0; s < head.num_segments; s++) {
        const Segment segment = head.segments[s];
        const CachedTile<L> tile(cache + segment.tile * tile_bytes, head.width);
        Row<L> rows[L];
        score_tile<L>(quads, quantise.step, tile, head.bias + segment.bias, rows);
        const bool is_whole = segment.first == 0 && segment.last == L;
        largest_step = max<L>(load<L>(tile.value_steps()), largest_step);
        TICKET_UNROLL
        for (uint32_t i = 0; i < L; i++, next += L) {
            if (!is_whole && (i < segment.first || i >= segment.last)) rows[i] = same<L>(-1e30f);
            store<L>(next, rows[i]);
            highest = max<L>(rows[i], highest);
        }
    }
    // What the largest value is worth, of all that are seen: no weight times it comes to more than 255.
    float step = 0;
    for (int i = 0; i < L; i++) step = max_of(largest_step.v[0][i], step);
    const float worth = 255.0f / step;
    Row<L> total[4] = {};
    uint8_t *weights = reinterpret_cast<uint8_t *>(scores), *out = weights;
    const float *score = scores;
    for (uint32_t s = 0; s < head.num_segments; s++) {
        const CachedTile<L> tile(cache + head.segments[s].tile * tile_bytes, head.width);
        float factors[L];
        store<L>(factors, load<L>(tile.value_steps()) * worth);
        for (int j = 0; j < L; j += 4, score += 4 * L, out += 4 * L) {
            Sums<L> four[4];
            TICKET_UNROLL
            for (int i = 0; i < 4; i++) {
                const Row<L> weight = exp<L, true>(load<L>(score + i * L) - highest);
                total[i] = total[i] + weight;
                const Row<L> rounded = weight * factors[j + i] + kRounder;
                four[i].v[0] = reinterpret_cast<typename Row<L>::I>(rounded.v[0]) - static_cast<int32_t>(kRounderBits);
            }
            // Where the score of the first of these keys was.
            *reinterpret_cast<typename Row<L>::I *>(out) = four_bytes<L>(four);
        }
    }
    const Row<L> scale = same<L>(1.0f / worth) / ((total[0] + total[1]) + (total[2] + total[3]));
    uint32_t e = 0;
    for (; e + 12 <= head.width; e += 12) mix_tiles<L, 12>(head, ring, weights, e, scale, query, range);
    for (; e + 4 <= head.width; e += 4) mix_tiles<L, 4>(head, ring, weights, e, scale, query, range);
    for (; e < head.width; e++) mix_tiles<L, 1>(head, ring, weights, e, scale, query, range);
}

}  // namespace TICKET_ISA

#endif
