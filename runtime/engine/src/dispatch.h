// Which instruction sets this library was built for and this processor has.
#pragma once

#include "model.h"

namespace ticket {

// The kernels called `name`, or the best for nullptr; nullptr where there are none.
const Kernels *find_kernels(const char *name);
// Names, best first, separated by spaces.
const char *kernel_names();

}  // namespace ticket
