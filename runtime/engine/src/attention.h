// Attention of one tile of queries over the cached chunks and the present one.
//
// Keys and values stay where the product that made them wrote them: [channel][frame], in the slot of their chunk. A
// state is a ring of slots; nothing is moved.
#pragma once

#include "activations.h"

namespace TICKET_ISA {

// Frames of one tile of one slot that the queries see.
struct Segment {
    uint32_t tile;         // number of the tile in the ring
    uint32_t first, last;  // frames of the tile, `last` not among them
    uint32_t bias;         // place of frame 0's bias for the query of frame 0; frame j's lies j before it
};

// List what a stream's next chunk sees, oldest first; returns how many segments.
static uint32_t list_segments(const ticket::Model &model, uint64_t num_chunks, Segment *segments) {
    const uint32_t chunk = model.config.chunk_frames, lanes = model.lanes, num_tiles = model.num_tiles;
    const uint32_t oldest = num_chunks < model.num_slots - 1 ? static_cast<uint32_t>(num_chunks) : model.num_slots - 1;
    const uint32_t now = static_cast<uint32_t>(num_chunks % model.num_slots);
    uint32_t count = 0;
    for (uint32_t age = oldest + 1; age-- > 0;) {
        const uint32_t slot = (now + model.num_slots - age) % model.num_slots;
        // Frames of the oldest slot that lie before the left context.
        const uint32_t past = age * chunk > model.config.left_context ? age * chunk - model.config.left_context : 0;
        for (uint32_t tile = 0; tile < num_tiles; tile++) {
            const uint32_t start = tile * lanes;
            Segment s;
            s.tile = slot * num_tiles + tile;
            s.first = past > start ? past - start : 0;
            s.last = chunk - start < lanes ? chunk - start : lanes;
            s.bias = num_tiles * lanes - 1 + age * chunk - start;
            if (s.first < s.last) segments[count++] = s;
        }
    }
    return count;
}

// One head of one stream, and one tile of its queries.
struct Head {
    const Segment *segments;
    uint32_t num_segments, width;
    const float *keys, *values;  // (width, L) of the ring's first tile
    size_t tile_floats;          // from one tile to the next
    const float *bias;           // for the first query of the tile
    float *scores;               // scratch memory: a row a key
};

// Scores of B keys: query * key + bias.
template <int L, int B>
TICKET_INLINE void score(const Head &head, const float *query, const float *keys, const float *bias,
                         Row<L> *sums) {
    const uint32_t head_width = head.width;
    // Caches of many blocks do not fit where they are read from fast: the next head's keys, and these values, come
    // meanwhile.
    const size_t next = size_t{head_width} * L, values = static_cast<size_t>(head.values - head.keys);
    TICKET_UNROLL
    for (int i = 0; i < B; i++) sums[i] = load<L>(bias - i);
    for (uint32_t e = 0; e < head_width; e++) {
        __builtin_prefetch(keys + size_t{e} * L + next);
        __builtin_prefetch(keys + size_t{e} * L + values);
        Row<L> q = load<L>(query + size_t{e} * L);
        TICKET_UNROLL
        for (int i = 0; i < B; i++) accumulate<L>(sums[i], keys[size_t{e} * L + i], q);
    }
}

// Turn scores into e^(score - highest); return their sum.
template <int L>
TICKET_INLINE Row<L> exponentiate(float *scores, uint32_t num_keys, Row<L> highest) {
    Row<L> part[4] = {};
    uint32_t i = 0;
    for (; i + 4 <= num_keys; i += 4, scores += 4 * L) {
        TICKET_UNROLL
        for (int j = 0; j < 4; j++) {
            Row<L> weight = exp<L>(load<L>(scores + j * L) - highest);
            store<L>(scores + j * L, weight);
            part[j] = part[j] + weight;
        }
    }
    for (; i < num_keys; i++, scores += L) {
        Row<L> weight = exp<L>(load<L>(scores) - highest);
        store<L>(scores, weight);
        part[0] = part[0] + weight;
    }
    return (part[0] + part[1]) + (part[2] + part[3]);
}

// Rows e ... e + B - 1 of the values, weighted.
template <int L, int B>
TICKET_INLINE void mix(const Head &head, uint32_t e, Row<L> scale, float *out, Range<L> &range) {
    Row<L> sums[B] = {};
    const float *weights = head.scores;
    for (uint32_t s = 0; s < head.num_segments; s++) {
        const Segment &segment = head.segments[s];
        const float *values = head.values + segment.tile * head.tile_floats + size_t{e} * L + segment.first;
        for (uint32_t j = segment.first; j < segment.last; j++, weights += L, values++) {
            Row<L> w = load<L>(weights);
            TICKET_UNROLL
            for (int i = 0; i < B; i++) accumulate<L>(sums[i], values[i * L], w);
        }
    }
    TICKET_UNROLL
    for (int i = 0; i < B; i++) {
        sums[i] = sums[i] * scale;
        widen<L>(range, sums[i]);
        store<L>(out + (e + i) * L, sums[i]);
    }
}

// query: (width, L), replaced by the result, whose range widens `range`.
template <int L>
static void attend(const Head &head, float *query, Range<L> &range) {
    constexpr int B = TICKET_PANEL < L ? TICKET_PANEL : L;
    Row<L> highest = same<L>(-1e30f);
    float *next = head.scores;
    for (uint32_t s = 0; s < head.num_segments; s++) {
        const Segment segment = head.segments[s];
        const float *keys = head.keys + segment.tile * head.tile_floats;
        for (uint32_t j = segment.first / B * B; j < segment.last; j += B) {
            Row<L> sums[B];
            score<L, B>(head, query, keys + j, head.bias + segment.bias - j, sums);
            const bool is_whole = j >= segment.first && j + B <= segment.last;
            TICKET_UNROLL
            for (uint32_t i = 0; i < B; i++) {
                if (!is_whole && (j + i < segment.first || j + i >= segment.last)) continue;
                store<L>(next, sums[i]);
                next += L;
                highest = max<L>(sums[i], highest);
            }
        }
    }
    const uint32_t num_keys = static_cast<uint32_t>((next - head.scores) / L);
    const Row<L> scale = same<L>(1.0f) / exponentiate<L>(head.scores, num_keys, highest);
    for (uint32_t e = 0; e < head.width;) {
        // As equal parts as there can be: one of a few rows waits for its sums.
        const uint32_t rest = head.width - e, num_parts = (rest + TICKET_PANEL - 1) / TICKET_PANEL;
        if (TICKET_PANEL == 16 && rest >= 16 && rest > 12 * num_parts) {
            mix<L, TICKET_PANEL>(head, e, scale, query, range);
            e += TICKET_PANEL;
        } else if (TICKET_PANEL == 16 && rest >= 12) {
            mix<L, 12>(head, e, scale, query, range);
            e += 12;
        } else if (rest >= 4) {
            mix<L, 4>(head, e, scale, query, range);
            e += 4;
        } else {
            mix<L, 1>(head, e, scale, query, range);
            e += 1;
        }
    }
}

}  // namespace TICKET_ISA
