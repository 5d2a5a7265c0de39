// Steps one model from four threads at once: threads_driver FILE...
//
// Each thread has streams of its own, in batches of other sizes than its neighbours', and opens and closes the same file
// once more meanwhile. The result has to be, bit for bit, what one thread computes after the other; a thread sanitizer
// sees whether they share anything that is written.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "ticket_engine.h"

namespace {

constexpr int kNumThreads = 4, kNumChunks = 6;

[[noreturn]] void fail(const char *what) {
    std::fprintf(stderr, "threads_driver: %s\n", what);
    std::exit(1);
}

void *allocate(size_t num_bytes) {
    void *memory = std::aligned_alloc(TICKET_ALIGNMENT, num_bytes);
    if (memory == nullptr) fail("not enough memory");
    return memory;
}

// Steps 1 + `number` streams; returns all their log-probabilities.
std::vector<float> run(const ticket_model *model, int number) {
    ticket_geometry geometry;
    ticket_get_geometry(model, &geometry);
    const size_t num_streams = size_t(1 + number);
    const size_t num_features = size_t{geometry.window_frames} * geometry.num_mels;
    const size_t num_outputs = size_t{geometry.chunk_frames} * geometry.vocab_size;
    void *workspace = allocate(ticket_workspace_bytes(model, uint32_t(num_streams)));
    std::vector<float> features(num_streams * num_features), outputs(kNumChunks * num_streams * num_outputs);
    std::vector<void *> states(num_streams);
    std::vector<const float *> x(num_streams);
    std::vector<float *> y(num_streams);
    for (void *&state : states) {
        state = allocate(ticket_state_bytes(model));
        ticket_state_init(model, state);
    }
    uint32_t random = 1 + uint32_t(number);
    for (size_t chunk = 0; chunk < kNumChunks; chunk++) {
        for (float &value : features) {
            random = random * 1664525 + 1013904223;
            value = float(random >> 8) * (16.0f / 16777216.0f) - 14.0f;
        }
        for (size_t i = 0; i < num_streams; i++) {
            x[i] = features.data() + i * num_features;
            y[i] = outputs.data() + (chunk * num_streams + i) * num_outputs;
        }
        if (ticket_step(model, uint32_t(num_streams), x.data(), states.data(), y.data(), workspace) != 0) {
            fail("a step is refused");
        }
    }
    for (void *state : states) std::free(state);
    std::free(workspace);
    return outputs;
}

ticket_model *open(const std::vector<char> &data, const char *instruction_set) {
    char error[160];
    ticket_model *model = ticket_open(data.data(), data.size(), instruction_set, error, sizeof error);
    if (model == nullptr) fail(error);
    return model;
}

void compare(const char *path, const char *instruction_set) {
    std::vector<char> data;
    std::FILE *file = std::fopen(path, "rb");
    if (file == nullptr) fail("cannot open a file");
    for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) data.push_back(char(c));
    std::fclose(file);
    ticket_model *model = open(data, instruction_set);
    std::vector<float> found[kNumThreads];
    std::vector<std::thread> threads;
    for (int i = 0; i < kNumThreads; i++) {
        threads.emplace_back([&, i] {
            ticket_model *own = open(data, instruction_set);
            found[i] = run(model, i);
            const std::vector<float> again = run(own, i);
            ticket_close(own);
            if (std::memcmp(found[i].data(), again.data(), again.size() * sizeof(float)) != 0) fail("two models differ");
        });
    }
    for (std::thread &thread : threads) thread.join();
    for (int i = 0; i < kNumThreads; i++) {
        const std::vector<float> expected = run(model, i);
        if (std::memcmp(found[i].data(), expected.data(), expected.size() * sizeof(float)) != 0) {
            fail("threads change the result");
        }
    }
    ticket_close(model);
}

}  // namespace

int main(int argc, char **argv) {
    if (argc < 2) fail("arguments: FILE...");
    // The first call chooses the instruction sets: from every thread at once.
    std::vector<std::thread> threads;
    for (int i = 0; i < kNumThreads; i++) {
        threads.emplace_back([] {
            if (ticket_instruction_sets()[0] == 0) fail("no instruction sets");
        });
    }
    for (std::thread &thread : threads) thread.join();
    for (int i = 1; i < argc; i++) {
        compare(argv[i], nullptr);
        compare(argv[i], "baseline");
    }
    std::printf("%d files\n", argc - 1);
    return 0;
}
