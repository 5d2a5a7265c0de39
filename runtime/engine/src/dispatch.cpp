#include "dispatch.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
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
#if defined(__APPLE__)
bool has_feature(const char *name) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}
bool has_dot_products() { return has_feature("hw.optional.arm.FEAT_DotProd"); }
bool has_int8_matrices() { return has_feature("hw.optional.arm.FEAT_I8MM"); }
#elif defined(__linux__)
// Source: Linux, arch/arm64/include/uapi/asm/hwcap.h: AT_HWCAP is 16, AT_HWCAP2 is 26.
bool has_dot_products() { return (getauxval(16) & 1UL << 20) != 0; }
bool has_int8_matrices() { return (getauxval(26) & 1UL << 13) != 0; }
#else
// Nothing to ask: what every such processor has must do.
bool has_dot_products() { return false; }
bool has_int8_matrices() { return false; }
#endif
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
        if (has_dot_products() && has_int8_matrices()) add(&kernels_i8mm);
#endif
#if TICKET_HAS_DOTPROD
        if (has_dot_products()) add(&kernels_dotprod);
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
