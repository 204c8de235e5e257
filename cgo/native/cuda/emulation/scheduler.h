// scheduler.h: what the emulated instructions (instructions.cpp) and the scheduler (cuda_emulation.cpp) know of each
// other.
#pragma once

#include "cuda_emulation.h"

namespace emulation {

// Of a thread: ends its kernel with a Failure.
void refuse(const char * what);

// Before a block's threads begin: what copy_async has not copied is of the block before.
void forget_copies();

} // namespace emulation
