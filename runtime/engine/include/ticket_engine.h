/* ticket_engine.h: run a `model.ticket`, one chunk of a streaming Conformer-CTC at a time.
 *
 * Plain C, so that C, C++, Swift, Kotlin, Rust and Python can call it. The library depends on nothing but libc.
 *
 *   ticket_model *model = ticket_open(data, num_bytes, NULL, error, sizeof error);
 *   void *state = aligned_alloc(TICKET_ALIGNMENT, ticket_state_bytes(model));
 *   void *workspace = aligned_alloc(TICKET_ALIGNMENT, ticket_workspace_bytes(model, 1));
 *   ticket_state_init(model, state);
 *   for each chunk: ticket_step(model, 1, &features, &state, &log_probs, workspace);
 *
 * Text: the best symbol of each frame, repeats and blanks (symbol 0) removed; tokens.txt spells the symbols. Whether the
 * text is to be trusted, by the numbers of `confidence.utterance` and `min_confidence` in the bundle's manifest.json:
 *
 *   for each frame t of the utterance:  spoken += 1 - exp(log_probs[t][0]);
 *       for each symbol v:              nats -= exp(log_probs[t][v]) * log_probs[t][v];
 *   confidence = 1 / (1 + exp(-(bias + weight * log(nats / spoken + 0.1))));
 *   if (confidence < min_confidence) reject;                          (docs/formats.md, "Confidence")
 *
 * Threads: a model is read-only once opened, so any number of threads may step it at once, each with a workspace of
 * its own. A state belongs to one stream; two threads must not step the same one at once.
 */
#ifndef TICKET_ENGINE_H
#define TICKET_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define TICKET_API __declspec(dllexport)
#else
#define TICKET_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define TICKET_ABI_VERSION 1
/* States and workspaces start at multiples of this many bytes; their sizes are multiples of it too. */
#define TICKET_ALIGNMENT 64

typedef struct ticket_model ticket_model;

/* How a model is fed. Frames in are 10 ms apart, frames out 40 ms. */
typedef struct ticket_geometry {
    uint32_t num_mels;
    uint32_t window_frames;  /* feature frames that one step reads: 4 * chunk_frames + 3 */
    uint32_t chunk_frames;   /* frames of log-probabilities that one step returns */
    uint32_t vocab_size;     /* symbols, the CTC blank (index 0) among them */
    uint32_t left_context;   /* frames before a chunk that attention sees */
    uint32_t num_matrices;
} ticket_geometry;

/* TICKET_ABI_VERSION of the library. */
TICKET_API uint32_t ticket_abi_version(void);

/* Names of the instruction sets that this library was built for and this processor has, best first, separated by
 * spaces: some of "avx512 avxvnni avx2 i8mm dotprod neon simd128 baseline". */
TICKET_API const char *ticket_instruction_sets(void);

/* Read a model from memory; `data` may be freed afterwards. The content is checked, whoever wrote it.
 * instruction_set: one of ticket_instruction_sets(), or NULL for the best.
 * Returns NULL on failure, with a line of text in `error`. */
TICKET_API ticket_model *ticket_open(const void *data, size_t num_bytes, const char *instruction_set, char *error,
                                     size_t error_bytes);
TICKET_API void ticket_close(ticket_model *model);

TICKET_API void ticket_get_geometry(const ticket_model *model, ticket_geometry *geometry);
/* Bytes of weights in memory. */
TICKET_API size_t ticket_weight_bytes(const ticket_model *model);

/* The state of one stream: its caches and no more. It belongs to the model that made it, opened with the same
 * instruction set. */
TICKET_API size_t ticket_state_bytes(const ticket_model *model);
TICKET_API void ticket_state_init(const ticket_model *model, void *state);

/* Scratch memory of one call; nothing in it outlives the call. 0 if num_streams is out of range (1 to 1024), or the
 * memory of so many would not fit in the address space. */
TICKET_API size_t ticket_workspace_bytes(const ticket_model *model, uint32_t num_streams);

/* Run one chunk of each stream. A stream's result does not depend on which others run beside it.
 * features[i]: float32 (window_frames, num_mels), log-mel energies. They have to be finite: what comes of others is not
 * specified, only that it stays in their stream.
 * states[i]: advanced in place; no two of a call the same.
 * log_probs[i]: float32 (chunk_frames, vocab_size), natural logarithms, written.
 * Returns 0, or -1 where num_streams is out of range, a pointer is NULL or a state is another model's (nothing is
 * written then). */
TICKET_API int ticket_step(const ticket_model *model, uint32_t num_streams, const float *const *features,
                           void *const *states, float *const *log_probs, void *workspace);

/* Entropy-code bytes for a ticket file, as docs/formats.md describes: the exporter's half of the format.
 * frequencies: 256 counts that sum to 16384, not 0 for any symbol that occurs.
 * Returns the bytes written to `out`, or 0 where they do not fit or the frequencies do not serve. */
TICKET_API size_t ticket_encode(const uint16_t *frequencies, const uint8_t *symbols, size_t num_symbols, uint8_t *out,
                                size_t out_bytes);

/* The integers inside an int8 product, for tests that compare processors: the sums over columns of weight times
 * activation, activations quantised to 8 bits a frame as every step does.
 * format: an int8 format of docs/formats.md. weights: (rows, cols) row by row. x: float32 (cols, frames).
 * sums: int32 (rows, frames), written. Returns 0, or -1. */
TICKET_API int ticket_integer_product(const char *instruction_set, uint32_t format, uint32_t rows, uint32_t cols,
                                      uint32_t frames, const int8_t *weights, const float *x, int32_t *sums);

#ifdef __cplusplus
}
#endif

#endif
