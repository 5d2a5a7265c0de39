#include <new>

#include "dispatch.h"
#include "entropy.h"
#include "ticket_engine.h"

namespace {

constexpr uint32_t kMaxStreams = 1024;

bool is_batch(uint32_t num_streams) { return num_streams != 0 && num_streams <= kMaxStreams; }

const ticket::Model *unwrap(const ticket_model *model) { return reinterpret_cast<const ticket::Model *>(model); }

template <typename T>
void destroy(T *object) {
    object->~T();
    std::free(object);
}

// A new T, or nullptr: operator new would throw.
template <typename T>
T *create() {
    void *memory = std::malloc(sizeof(T));
    return memory == nullptr ? nullptr : new (memory) T();
}

}  // namespace

uint32_t ticket_abi_version(void) { return TICKET_ABI_VERSION; }

const char *ticket_instruction_sets(void) { return ticket::kernel_names(); }

ticket_model *ticket_open(const void *data, size_t num_bytes, const char *instruction_set, char *error,
                          size_t error_bytes) {
    ticket::Error complaint(error, error_bytes);
    const ticket::Kernels *kernels = ticket::find_kernels(instruction_set);
    if (kernels == nullptr) {
        complaint.set("instruction set %.32s is not one of: %s", instruction_set == nullptr ? "?" : instruction_set,
                      ticket::kernel_names());
        return nullptr;
    }
    ticket::File file;
    ticket::Model *model = create<ticket::Model>();
    if (model == nullptr) {
        complaint.set("not enough memory");
        return nullptr;
    }
    if (!ticket::parse_file(static_cast<const uint8_t *>(data), num_bytes, &file, &complaint) ||
        !ticket::build_model(file, kernels, model, &complaint)) {
        if (!complaint.is_set()) complaint.set("not enough memory");
        destroy(model);
        return nullptr;
    }
    return reinterpret_cast<ticket_model *>(model);
}

void ticket_close(ticket_model *model) {
    if (model != nullptr) destroy(reinterpret_cast<ticket::Model *>(model));
}

void ticket_get_geometry(const ticket_model *model, ticket_geometry *geometry) {
    const ticket::Config &c = unwrap(model)->config;
    *geometry = {c.num_mels,   c.window_frames(), c.chunk_frames,
                 c.vocab_size, c.left_context,    unwrap(model)->num_matrices};
}

size_t ticket_weight_bytes(const ticket_model *model) { return unwrap(model)->num_bytes(); }

size_t ticket_state_bytes(const ticket_model *model) { return unwrap(model)->state_bytes; }

void ticket_state_init(const ticket_model *model, void *state) {
    std::memset(state, 0, unwrap(model)->state_bytes);
    static_cast<ticket::StateHeader *>(state)->tag = unwrap(model)->state_tag;
}

size_t ticket_workspace_bytes(const ticket_model *model, uint32_t num_streams) {
    if (!is_batch(num_streams)) return 0;
    const uint64_t bytes = unwrap(model)->kernels->workspace_bytes(*unwrap(model), num_streams);
    return bytes > ticket::kMaxWorkspace ? 0 : static_cast<size_t>(bytes);
}

int ticket_step(const ticket_model *model, uint32_t num_streams, const float *const *features, void *const *states,
                float *const *log_probs, void *workspace) {
    if (model == nullptr || workspace == nullptr || !is_batch(num_streams)) return -1;
    if (features == nullptr || states == nullptr || log_probs == nullptr) return -1;
    for (uint32_t i = 0; i < num_streams; i++) {
        if (features[i] == nullptr || states[i] == nullptr || log_probs[i] == nullptr) return -1;
        if (static_cast<const ticket::StateHeader *>(states[i])->tag != unwrap(model)->state_tag) return -1;
    }
    const ticket::Model &unwrapped = *unwrap(model);
    return unwrapped.kernels->step(unwrapped, num_streams, features, states, log_probs, workspace) ? 0 : -1;
}

size_t ticket_encode(const uint16_t *frequencies, const uint8_t *symbols, size_t num_symbols, uint8_t *out,
                     size_t out_bytes) {
    return ticket::encode(frequencies, symbols, num_symbols, out, out_bytes);
}

int ticket_integer_product(const char *instruction_set, uint32_t format, uint32_t rows, uint32_t cols, uint32_t frames,
                           const int8_t *weights, const float *x, int32_t *sums) {
    const ticket::Kernels *kernels = ticket::find_kernels(instruction_set);
    const size_t size = size_t{rows} * cols;
    if (kernels == nullptr || format >= ticket::kNumFormats || !ticket::is_int8(ticket::Format(format)) || rows == 0 ||
        cols == 0 || frames == 0 || rows > 16384 || cols > 16384 || frames > 16384) {
        return -1;
    }
    char text[1];
    ticket::Error error(text, sizeof text);
    ticket::MatrixRecord record;
    ticket::Packed packed;
    record.rows = rows;
    record.cols = cols;
    record.format = ticket::Format(format);
    record.values = reinterpret_cast<const uint8_t *>(weights);
    record.value_bytes = size;
    if (!record.bias.allocate(rows) || !record.scale.allocate(rows) ||
        !ticket::pack(record, weights, kernels->panel, &packed, &error)) {
        return -1;
    }
    void *workspace = std::aligned_alloc(ticket::kAlignment,
                                         ticket::round_up(kernels->product_bytes(packed, frames), ticket::kAlignment));
    if (workspace == nullptr) return -1;
    kernels->integer_product(packed, frames, x, sums, workspace);
    std::free(workspace);
    return 0;
}
