/* Runs the engine where there is no Python: through ticket_engine.h, from plain C.
 *
 *   engine_driver sets                                      prints the instruction sets
 *   engine_driver step ISA TICKET STREAMS FEATURES OUT      float32 (streams, frames, mels) -> (chunks, streams, T, vocab)
 *   engine_driver products ISA IN OUT                       records of uint32 format, rows, cols, frames, int8 weights,
 *                                                           float32 activations -> int32 sums, one record's after the other
 *
 * ISA: one of `sets`, or "best".
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ticket_engine.h"

struct bytes {
    unsigned char *data;
    size_t size;
};

static void fail(const char *what) {
    fprintf(stderr, "engine_driver: %s\n", what);
    exit(1);
}

static void *allocate(size_t size) {
    void *memory = aligned_alloc(TICKET_ALIGNMENT, (size / TICKET_ALIGNMENT + 1) * TICKET_ALIGNMENT);
    if (memory == NULL) fail("not enough memory");
    return memory;
}

static struct bytes read_file(const char *path) {
    struct bytes content = {NULL, 0};
    long size = -1;
    FILE *file = fopen(path, "rb");
    if (file != NULL && fseek(file, 0, SEEK_END) == 0) size = ftell(file);
    if (size < 0) fail("cannot read a file");
    rewind(file);
    content.size = (size_t)size;
    content.data = allocate(content.size);
    if (fread(content.data, 1, content.size, file) != content.size) fail("cannot read a file");
    fclose(file);
    return content;
}

static void write_all(FILE *file, const void *data, size_t size) {
    if (fwrite(data, 1, size, file) != size) fail("cannot write");
}

static void step(const char *name, const char *ticket, const char *streams, const char *clips, FILE *out) {
    char error[256];
    struct bytes content = read_file(ticket), clip = read_file(clips);
    const size_t num_streams = strtoul(streams, NULL, 10);
    ticket_model *model = ticket_open(content.data, content.size, name, error, sizeof error);
    ticket_geometry geometry;
    size_t i, frame, clip_floats, num_frames, num_outputs;
    if (model == NULL) fail(error);
    free(content.data); /* the header says that it may go */
    ticket_get_geometry(model, &geometry);
    clip_floats = clip.size / sizeof(float) / num_streams;
    num_frames = clip_floats / geometry.num_mels;
    num_outputs = (size_t)geometry.chunk_frames * geometry.vocab_size;
    {
        const float **features = allocate(num_streams * sizeof *features);
        void **states = allocate(num_streams * sizeof *states);
        float **log_probs = allocate(num_streams * sizeof *log_probs);
        void *workspace = allocate(ticket_workspace_bytes(model, (uint32_t)num_streams));
        for (i = 0; i < num_streams; i++) {
            states[i] = allocate(ticket_state_bytes(model));
            ticket_state_init(model, states[i]);
            log_probs[i] = allocate(num_outputs * sizeof(float));
        }
        for (frame = 0; frame + geometry.window_frames <= num_frames; frame += 4 * geometry.chunk_frames) {
            for (i = 0; i < num_streams; i++) {
                features[i] = (const float *)clip.data + i * clip_floats + frame * geometry.num_mels;
            }
            if (ticket_step(model, (uint32_t)num_streams, features, states, log_probs, workspace) != 0) {
                fail("a step is refused");
            }
            for (i = 0; i < num_streams; i++) write_all(out, log_probs[i], num_outputs * sizeof(float));
        }
    }
    ticket_close(model);
}

static void products(const char *name, const char *path, FILE *out) {
    const struct bytes content = read_file(path);
    size_t at = 0;
    while (at < content.size) {
        uint32_t numbers[4];
        size_t num_weights, num_inputs, num_sums;
        const int8_t *weights;
        float *x;
        int32_t *sums;
        memcpy(numbers, content.data + at, sizeof numbers);
        num_weights = (size_t)numbers[1] * numbers[2];
        num_inputs = (size_t)numbers[2] * numbers[3];
        num_sums = (size_t)numbers[1] * numbers[3];
        weights = (const int8_t *)(content.data + at + sizeof numbers);
        x = allocate(num_inputs * sizeof *x);
        sums = allocate(num_sums * sizeof *sums);
        memcpy(x, weights + num_weights, num_inputs * sizeof *x);
        if (ticket_integer_product(name, numbers[0], numbers[1], numbers[2], numbers[3], weights, x, sums) != 0) {
            fail("a product is refused");
        }
        write_all(out, sums, num_sums * sizeof *sums);
        free(x);
        free(sums);
        at += sizeof numbers + num_weights + num_inputs * sizeof *x;
    }
}

int main(int argc, char **argv) {
    FILE *out;
    const char *name;
    if (ticket_abi_version() != TICKET_ABI_VERSION) fail("the library is of another version");
    if (argc == 2 && strcmp(argv[1], "sets") == 0) {
        puts(ticket_instruction_sets());
        return 0;
    }
    if (argc != 5 && argc != 7) fail("wrong arguments");
    out = fopen(argv[argc - 1], "wb");
    if (out == NULL) fail("cannot write");
    name = strcmp(argv[2], "best") == 0 ? NULL : argv[2];
    if (argc == 7) {
        step(name, argv[3], argv[4], argv[5], out);
    } else {
        products(name, argv[3], out);
    }
    if (fclose(out) != 0) fail("cannot write");
    return 0;
}
