/* The arithmetic under every float32 kernel: the same bits on every machine.
 *
 * mg_fma and mg_sqrt round once, to nearest even, subnormals included: one instruction where the target
 * has it, integer arithmetic of ours where it has not. No libm is called anywhere.
 * mg_exp, mg_log, mg_tanh and mg_erf are built from mg_fma alone, in a fixed order, so they agree in every bit
 * wherever a NaN's payload does not matter. Compile with -ffp-contract=off. */
#ifndef MG_MATH_H
#define MG_MATH_H

#include <stdint.h>

/* a*b + c, rounded once, in integer arithmetic. Every NaN comes out as 0x7FC00000. */
float mg_soft_fma(float a, float b, float c);

/* The square root, rounded once, in integer arithmetic; below -0 it is NaN. */
float mg_soft_sqrt(float x);

/* e^x: within 1 ulp; infinity above 88.72284, 0 below -103.97208. */
float mg_exp(float x);

/* The natural logarithm: within 1 ulp; log(0) is -infinity, below 0 it is NaN. */
float mg_log(float x);

/* The hyperbolic tangent: within 2 ulp; exactly +-1 from |x| = 9.011 on; keeps the sign of zero. */
float mg_tanh(float x);

/* The error function: within 1.1 ulp; exactly +-1 from |x| = 3.92 on; keeps the sign of zero. */
float mg_erf(float x);

/* The IEEE 754 bits of x. */
static inline uint32_t mg_bits(float x) {
    union { float value; uint32_t bits; } pun;
    pun.value = x;
    return pun.bits;
}

/* The float32 with these IEEE 754 bits. */
static inline float mg_from_bits(uint32_t bits) {
    union { float value; uint32_t bits; } pun;
    pun.bits = bits;
    return pun.value;
}

/* Where a compiler's builtin may be a call of libm's, to set errno, the instruction is spelled out. */

/* a*b + c, rounded once. */
static inline float mg_fma(float a, float b, float c) {
#if !(defined(__ARM_FEATURE_FMA) || defined(__FMA__) || defined(__aarch64__) || defined(__riscv_f))
    return mg_soft_fma(a, b, c);
#elif defined(__NO_MATH_ERRNO__) || !defined(__clang__)
    return __builtin_fmaf(a, b, c);
#elif defined(__arm__)
    __asm__("vfma.f32 %0, %1, %2" : "+t"(c) : "t"(a), "t"(b));
    return c;
#elif defined(__aarch64__)
    __asm__("fmadd %s0, %s1, %s2, %s0" : "+w"(c) : "w"(a), "w"(b));
    return c;
#elif defined(__riscv_f)
    __asm__("fmadd.s %0, %1, %2, %0" : "+f"(c) : "f"(a), "f"(b));
    return c;
#else
    __asm__("vfmadd231ss %2, %1, %0" : "+x"(c) : "x"(a), "x"(b));
    return c;
#endif
}

/* The square root, rounded once. */
static inline float mg_sqrt(float x) {
#if defined(__arm__) && defined(__ARM_FP) && (__ARM_FP & 4)
    __asm__("vsqrt.f32 %0, %1" : "=t"(x) : "t"(x));
    return x;
#elif !(defined(__SSE2__) || defined(__aarch64__) || defined(__riscv_f))
    return mg_soft_sqrt(x);
#elif defined(__NO_MATH_ERRNO__)
    return __builtin_sqrtf(x);
#elif defined(__aarch64__)
    __asm__("fsqrt %s0, %s1" : "=w"(x) : "w"(x));
    return x;
#elif defined(__riscv_f)
    __asm__("fsqrt.s %0, %1" : "=f"(x) : "f"(x));
    return x;
#else
    __asm__("sqrtss %1, %0" : "=x"(x) : "x"(x));
    return x;
#endif
}

#endif
