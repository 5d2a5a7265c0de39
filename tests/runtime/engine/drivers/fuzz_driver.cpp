// Feeds the engine hostile files: fuzz_driver SEED MUTATIONS FILE...
//
// Every file is opened as it is, then MUTATIONS times changed, most often with its size and checksum made right again,
// on every instruction set. What opens is stepped twice with two streams, whose buffers are exactly as large as the
// header says: a sanitizer sees the first byte beyond. Prints how many files were opened and refused.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "ticket_engine.h"

namespace {

constexpr size_t kPrologueBytes = 32;
// A file may ask for this much at most, or is not stepped: the fuzzer has to come to an end.
constexpr size_t kMostBytes = size_t{1} << 26;
// A NaN that no computation makes.
constexpr uint32_t kUnwritten = 0x7FC0DEAD;

[[noreturn]] void fail(const char *what) {
    std::fprintf(stderr, "fuzz_driver: %s\n", what);
    std::exit(1);
}

// Source: Vigna 2016, splitmix64.
class Random {
public:
    explicit Random(uint64_t seed) : state_(seed) {}
    uint64_t next() {
        uint64_t z = state_ += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
    size_t below(size_t bound) { return bound == 0 ? 0 : next() % bound; }

private:
    uint64_t state_;
};

using Bytes = std::vector<uint8_t>;

// docs/formats.md
uint64_t checksum(const uint8_t *data, size_t num_bytes) {
    uint64_t hash = 14695981039346656037u;
    for (size_t at = 0; at < num_bytes; at += 8) {
        uint64_t word = 0;
        std::memcpy(&word, data + at, num_bytes - at < 8 ? num_bytes - at : 8);
        hash = (hash ^ word) * 1099511628211u;
        hash ^= hash >> 32;
    }
    return hash;
}

void seal(Bytes *file) {
    if (file->size() < kPrologueBytes) return;
    const uint64_t fields[2] = {file->size(), checksum(file->data() + kPrologueBytes, file->size() - kPrologueBytes)};
    std::memcpy(file->data() + 16, fields, sizeof fields);
}

uint32_t hostile_number(Random *random) {
    static const uint32_t numbers[] = {0,     1,     2,     3,      4,      5,      7,          8,          15,        16,
                                       17,    31,    32,    64,     255,    256,    1023,       1024,       1025,      4096,
                                       16383, 16384, 16385, 65535,  65536,  1 << 24, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF};
    return numbers[random->below(sizeof numbers / sizeof *numbers)];
}

void mutate(Bytes *file, Random *random) {
    const size_t size = file->size();
    if (size == 0) return;
    const size_t at = random->below(size);
    switch (random->below(8)) {
        case 0:
            (*file)[at] ^= uint8_t(1u << random->below(8));
            break;
        case 1:
            (*file)[at] = uint8_t(random->next());
            break;
        case 2:
        case 3: {  // a number, where the header keeps most of its numbers half of the time
            const size_t start = random->below(2) == 0 ? random->below(size) : random->below(size < 160 ? size : 160);
            const uint32_t number = hostile_number(random);
            const size_t place = start / 4 * 4;
            if (place + 4 <= size) std::memcpy(file->data() + place, &number, 4);
            break;
        }
        case 4:
            file->resize(at);
            break;
        case 5:
            file->insert(file->begin() + at, random->below(64), uint8_t(random->next()));
            break;
        case 6: {
            const size_t count = random->below(size - at < 64 ? size - at : 64);
            file->erase(file->begin() + at, file->begin() + at + count);
            break;
        }
        default: {
            const size_t from = random->below(size);
            const size_t rest = size - (at > from ? at : from);
            std::memmove(file->data() + at, file->data() + from, random->below(rest < 64 ? rest : 64));
        }
    }
}

// A block of memory with nothing that may be touched after it.
class Block {
public:
    explicit Block(size_t num_bytes) : data_(std::aligned_alloc(TICKET_ALIGNMENT, num_bytes)) {
        if (data_ == nullptr) fail("not enough memory");
        std::memset(data_, 0xA5, num_bytes);
    }
    Block(const Block &) = delete;
    Block &operator=(const Block &) = delete;
    ~Block() { std::free(data_); }
    void *get() const { return data_; }

private:
    void *data_;
};

void step(const ticket_model *model, Random *random) {
    ticket_geometry geometry;
    ticket_get_geometry(model, &geometry);
    const size_t num_features = size_t{geometry.window_frames} * geometry.num_mels;
    const size_t num_outputs = size_t{geometry.chunk_frames} * geometry.vocab_size;
    const size_t state_bytes = ticket_state_bytes(model), workspace_bytes = ticket_workspace_bytes(model, 2);
    if (state_bytes % TICKET_ALIGNMENT != 0 || workspace_bytes % TICKET_ALIGNMENT != 0) fail("sizes are not aligned");
    if (workspace_bytes == 0) fail("no workspace for two streams");
    if (state_bytes > kMostBytes || workspace_bytes > kMostBytes || num_features > kMostBytes || num_outputs > kMostBytes) {
        return;
    }
    Block first(state_bytes), second(state_bytes), workspace(workspace_bytes);
    void *states[2] = {first.get(), second.get()};
    std::vector<float> features[2] = {std::vector<float>(num_features), std::vector<float>(num_features)};
    std::vector<float> outputs[2] = {std::vector<float>(num_outputs), std::vector<float>(num_outputs)};
    const float *x[2] = {features[0].data(), features[1].data()};
    float *y[2] = {outputs[0].data(), outputs[1].data()};
    ticket_state_init(model, states[0]);
    ticket_state_init(model, states[1]);
    for (uint32_t num_streams = 1; num_streams <= 2; num_streams++) {
        for (uint32_t i = 0; i < num_streams; i++) {
            for (float &value : features[i]) value = float(random->below(2000)) * 0.01f - 15.0f;
            for (float &value : outputs[i]) std::memcpy(&value, &kUnwritten, sizeof value);
        }
        if (ticket_step(model, num_streams, x, states, y, workspace.get()) != 0) fail("a step is refused");
        for (uint32_t i = 0; i < num_streams; i++) {
            for (const float &value : outputs[i]) {
                if (std::memcmp(&value, &kUnwritten, sizeof value) == 0) fail("an output is not written");
            }
        }
    }
}

// Returns whether the file is opened.
bool try_file(const Bytes &file, const char *instruction_set, Random *random) {
    // A copy of its own, freed before the first step: nothing may be read beyond it, nor later.
    uint8_t *data = static_cast<uint8_t *>(std::malloc(file.size() == 0 ? 1 : file.size()));
    if (data == nullptr) fail("not enough memory");
    if (!file.empty()) std::memcpy(data, file.data(), file.size());
    char error[160];
    std::memset(error, 'x', sizeof error);
    ticket_model *model = ticket_open(data, file.size(), instruction_set, error, sizeof error);
    std::free(data);
    if (model == nullptr) {
        if (std::memchr(error, 0, sizeof error) == nullptr || error[0] == 0) fail("refused without a word");
        return false;
    }
    if (ticket_weight_bytes(model) == 0) fail("a model without weights");
    step(model, random);
    ticket_close(model);
    return true;
}

Bytes read_file(const char *path) {
    std::FILE *file = std::fopen(path, "rb");
    if (file == nullptr) fail("cannot open a file");
    Bytes bytes;
    for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) bytes.push_back(uint8_t(c));
    std::fclose(file);
    return bytes;
}

std::vector<std::string> split(const std::string &text) {
    std::vector<std::string> words;
    for (size_t at = 0; at < text.size();) {
        size_t end = text.find(' ', at);
        end = end == std::string::npos ? text.size() : end;
        words.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return words;
}

// The products of every int8 format at sizes that fill no panel, tile or quad.
void odd_products(const std::string &name, Random *random) {
    const uint32_t formats[] = {1, 3, 4, 6, 7}, sizes[] = {1, 3, 5, 17, 37};
    for (uint32_t format : formats) {
        for (uint32_t rows : sizes) {
            for (uint32_t cols : {1, 2, 3, 5, 66}) {
                const uint32_t frames = sizes[random->below(5)];
                std::vector<int8_t> weights(size_t{rows} * cols);
                for (int8_t &w : weights) w = random->below(3) == 0 ? int8_t(random->below(255)) : int8_t{0};
                for (int8_t &w : weights) w = w == -128 ? int8_t{-127} : w;
                std::vector<float> x(size_t{cols} * frames);
                for (float &value : x) value = float(random->below(2000)) - 1000.0f;
                std::vector<int32_t> sums(size_t{rows} * frames, 0x5A5A5A5A);
                if (ticket_integer_product(name.c_str(), format, rows, cols, frames, weights.data(), x.data(), sums.data()) != 0) {
                    fail("a product is refused");
                }
                for (int32_t sum : sums) {
                    if (sum == 0x5A5A5A5A) fail("a sum is not written");
                }
            }
        }
    }
}

// Arguments that no caller should give: refused, and nothing is touched.
void odd_calls(const Bytes &file) {
    char error[8];
    ticket_close(nullptr);
    for (size_t room : {size_t{0}, size_t{1}, sizeof error}) {
        std::memset(error, 'x', sizeof error);
        if (ticket_open("", 0, nullptr, error, room) != nullptr) fail("no file is a model");
        if (ticket_open(file.data(), file.size(), "an instruction set of another world", error, room) != nullptr) {
            fail("an unknown instruction set is one");
        }
        if (room < sizeof error && error[room] != 'x') fail("an error is longer than its room");
    }
    ticket_model *model = ticket_open(file.data(), file.size(), nullptr, error, sizeof error);
    if (model == nullptr) fail("a right file is refused");
    for (uint32_t num_streams : {uint32_t{0}, uint32_t{1025}, UINT32_MAX}) {
        if (ticket_workspace_bytes(model, num_streams) != 0) fail("a workspace for too many streams");
        if (ticket_step(model, num_streams, nullptr, nullptr, nullptr, error) != -1) fail("too many streams are stepped");
    }
    if (ticket_workspace_bytes(model, 1024) == 0) fail("no workspace for 1024 streams");
    if (ticket_step(model, 1, nullptr, nullptr, nullptr, nullptr) != -1) fail("a step without a workspace");
    ticket_close(model);
    const uint32_t odd_sizes[][4] = {{0, 1, 1, 1}, {2, 1, 1, 1}, {5, 1, 1, 1}, {8, 1, 1, 1},     {UINT32_MAX, 1, 1, 1},
                                     {1, 0, 1, 1}, {1, 1, 0, 1}, {1, 1, 1, 0}, {1, 16385, 1, 1}, {1, 1, UINT32_MAX, 1}};
    for (const uint32_t *n : odd_sizes) {
        if (ticket_integer_product(nullptr, n[0], n[1], n[2], n[3], nullptr, nullptr, nullptr) != -1) {
            fail("a product of nothing");
        }
    }
}

// Every size of room for a stream, under frequencies that fit, that do not sum up, and that leave a symbol out.
void odd_streams(Random *random) {
    uint16_t frequencies[256];
    for (uint32_t variant = 0; variant < 3; variant++) {
        for (uint16_t &count : frequencies) count = 64;
        if (variant == 1) frequencies[7] = 65;
        if (variant == 2) frequencies[7] = 0, frequencies[8] = 128;
        std::vector<uint8_t> symbols(50);
        for (uint8_t &symbol : symbols) symbol = uint8_t(random->next());
        symbols[20] = 7;
        for (size_t room = 0; room <= 2 * symbols.size() + 4; room++) {
            std::vector<uint8_t> out(room);
            const size_t size = ticket_encode(frequencies, symbols.data(), symbols.size(), out.data(), room);
            if (size > room) fail("a stream is longer than its room");
            if (variant == 0 && room == 2 * symbols.size() + 4 && size == 0) fail("a stream does not fit its bound");
            if (variant != 0 && size != 0) fail("frequencies that do not serve");
        }
    }
}

}  // namespace

int main(int argc, char **argv) {
    if (argc < 4) fail("arguments: SEED MUTATIONS FILE...");
    Random random(std::strtoull(argv[1], nullptr, 10));
    const long mutations = std::strtol(argv[2], nullptr, 10);
    const std::vector<std::string> names = split(ticket_instruction_sets());
    for (const std::string &name : names) odd_products(name, &random);
    odd_calls(read_file(argv[3]));
    odd_streams(&random);
    long num_opened = 0, num_refused = 0;
    for (int i = 3; i < argc; i++) {
        const Bytes original = read_file(argv[i]);
        for (const std::string &name : names) {
            if (!try_file(original, name.c_str(), &random)) fail("a right file is refused");
        }
        for (long round = 0; round < mutations; round++) {
            Bytes file = original;
            for (size_t change = 0; change <= random.below(3); change++) mutate(&file, &random);
            if (random.below(16) != 0) seal(&file);
            const std::string &name = names[random.below(names.size())];
            (try_file(file, name.c_str(), &random) ? num_opened : num_refused)++;
        }
    }
    std::printf("%ld opened, %ld refused\n", num_opened, num_refused);
    return 0;
}
