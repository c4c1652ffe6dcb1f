/* simd.h - what panel.c and attend.c need to be compiled as they are meant. */
#pragma once

#define INLINE static inline __attribute__((always_inline))
/* Before a loop over an array of registers, which is memory else. */
#define UNROLL _Pragma("GCC unroll 16")
