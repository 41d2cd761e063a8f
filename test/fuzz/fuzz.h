/* The entry point of every target (LLVM libFuzzer). */
#ifndef DT_TEST_FUZZ_FUZZ_H
#define DT_TEST_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
