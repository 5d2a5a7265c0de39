// Memory whose allocation can fail without an exception, and errors as text: what crosses the C boundary.
#pragma once

#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#define TICKET_ALWAYS_INLINE inline __attribute__((always_inline))

namespace ticket {

constexpr size_t kAlignment = 64;

static inline size_t round_up(size_t value, size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// A fixed-size, zeroed array of plain values, aligned for vectors and padded so that a vector load at its last element
// stays inside.
template <typename T>
class Array {
public:
    Array() = default;
    Array(const Array &) = delete;
    Array &operator=(const Array &) = delete;
    Array(Array &&other) noexcept : data_(other.data_), size_(other.size_) {
        other.data_ = nullptr;
        other.size_ = 0;
    }
    Array &operator=(Array &&other) noexcept {
        if (this != &other) {
            std::free(data_);
            data_ = other.data_;
            size_ = other.size_;
            other.data_ = nullptr;
            other.size_ = 0;
        }
        return *this;
    }
    ~Array() { std::free(data_); }

    // Returns false where there is not enough memory; the array is empty then.
    [[nodiscard]] bool allocate(size_t size) {
        std::free(data_);
        data_ = nullptr;
        size_ = 0;
        if (size > (SIZE_MAX - 2 * kAlignment) / sizeof(T)) return false;
        size_t bytes = round_up(size * sizeof(T) + kAlignment, kAlignment);
        data_ = static_cast<T *>(std::aligned_alloc(kAlignment, bytes));
        if (data_ == nullptr) return false;
        std::memset(static_cast<void *>(data_), 0, bytes);
        size_ = size;
        return true;
    }

    [[nodiscard]] bool copy_from(const Array &other) {
        if (!allocate(other.size_)) return false;
        if (size_ != 0) std::memcpy(static_cast<void *>(data_), other.data_, size_ * sizeof(T));
        return true;
    }

    // Always inlined: isa_*.cpp are compiled with flags of their own, and must not share a function with other files.
    TICKET_ALWAYS_INLINE T *data() { return data_; }
    TICKET_ALWAYS_INLINE const T *data() const { return data_; }
    TICKET_ALWAYS_INLINE size_t size() const { return size_; }
    TICKET_ALWAYS_INLINE T &operator[](size_t i) { return data_[i]; }
    TICKET_ALWAYS_INLINE const T &operator[](size_t i) const { return data_[i]; }

private:
    T *data_ = nullptr;
    size_t size_ = 0;
};

// One line for a person.
class Error {
public:
    Error(char *text, size_t bytes) : text_(text), bytes_(bytes) {
        if (bytes_ != 0) text_[0] = 0;
    }
    // Always false, so that a check reads `return error.set(...)`.
    __attribute__((format(printf, 2, 3))) bool set(const char *format, ...) {
        va_list arguments;
        va_start(arguments, format);
        if (bytes_ != 0) std::vsnprintf(text_, bytes_, format, arguments);
        va_end(arguments);
        return false;
    }

    bool is_set() const { return bytes_ == 0 || text_[0] != 0; }

private:
    char *text_;
    size_t bytes_;
};

}  // namespace ticket
