#include "dispatch.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace ticket {

#if TICKET_HAS_AVX512
extern const Kernels kernels_avx512;
#endif
#if TICKET_HAS_AVXVNNI
extern const Kernels kernels_avxvnni;
#endif
#if TICKET_HAS_AVX2
extern const Kernels kernels_avx2;
#endif
#if TICKET_HAS_I8MM
extern const Kernels kernels_i8mm;
#endif
#if TICKET_HAS_DOTPROD
extern const Kernels kernels_dotprod;
#endif
#if TICKET_HAS_NEON
extern const Kernels kernels_neon;
#endif
#if TICKET_HAS_SIMD128
extern const Kernels kernels_simd128;
#endif
#if TICKET_HAS_BASELINE
extern const Kernels kernels_baseline;
#endif

namespace {

#if TICKET_HAS_I8MM || TICKET_HAS_DOTPROD
bool has_arm_feature(unsigned long capability, unsigned long bit) {
#if defined(__linux__)
    return (getauxval(capability) & bit) != 0;
#else
    // Other systems on aarch64 (macOS, iOS) run on processors that have both.
    return capability != 0 && bit != 0;
#endif
}
// Source: Linux, arch/arm64/include/uapi/asm/hwcap.h
constexpr unsigned long kCapabilities = 16, kMoreCapabilities = 26, kDotProducts = 1UL << 20, kInt8Matrices = 1UL << 13;
#endif

#if TICKET_HAS_AVX512
bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("avx512vbmi2");
}
#endif

#if TICKET_HAS_AVXVNNI
// __builtin_cpu_supports learnt of AVX-VNNI late: leaf 7, sub-leaf 1, bit 4 of eax.
bool has_avxvnni() {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return false;
    uint32_t a = 7, b, c = 1, d;
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return (a >> 4 & 1) != 0;
}
#endif

struct List {
    const Kernels *kernels[8];
    int count = 0;
    char names[128];

    List() {
        names[0] = 0;
#if defined(__x86_64__)
        __builtin_cpu_init();
#endif
#if TICKET_HAS_AVX512
        if (has_avx512()) add(&kernels_avx512);
#endif
#if TICKET_HAS_AVXVNNI
        if (has_avxvnni()) add(&kernels_avxvnni);
#endif
#if TICKET_HAS_AVX2
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) add(&kernels_avx2);
#endif
#if TICKET_HAS_I8MM
        if (has_arm_feature(kCapabilities, kDotProducts) && has_arm_feature(kMoreCapabilities, kInt8Matrices)) {
            add(&kernels_i8mm);
        }
#endif
#if TICKET_HAS_DOTPROD
        if (has_arm_feature(kCapabilities, kDotProducts)) add(&kernels_dotprod);
#endif
#if TICKET_HAS_NEON
        add(&kernels_neon);
#endif
#if TICKET_HAS_SIMD128
        add(&kernels_simd128);
#endif
#if TICKET_HAS_BASELINE
        add(&kernels_baseline);
#endif
    }

    void add(const Kernels *k) {
        if (count != 0) std::strcat(names, " ");
        std::strcat(names, k->name);
        kernels[count++] = k;
    }
};

// Made when the library is loaded: a constant inside a function would need the C++ library to guard it.
const List kList;

}  // namespace

const Kernels *find_kernels(const char *name) {
    for (int i = 0; i < kList.count; i++) {
        if (name == nullptr || std::strcmp(name, kList.kernels[i]->name) == 0) return kList.kernels[i];
    }
    return nullptr;
}

const char *kernel_names() { return kList.names; }

}  // namespace ticket
