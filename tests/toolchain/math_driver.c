/* Loops over mg_math for the tests: millions of cases in a moment. */
#include "mg_fixed_point.h"
#include "mg_math.h"

static const uint32_t edges[16] = {
    0x00000000u, 0x00000001u, 0x00000002u, 0x007FFFFFu, 0x00800000u, 0x00800001u, 0x33FFFFFFu, 0x34000000u,
    0x3F7FFFFFu, 0x3F800000u, 0x3F800001u, 0x7F000000u, 0x7F7FFFFFu, 0x7F800000u, 0x7FC00000u, 0x4B800000u,
};

int32_t fma_mismatches(uint32_t seed, uint32_t count);
int32_t fma_edge_mismatches(void);
int32_t sqrt_mismatches(uint32_t start, uint32_t step);
void map_exp(const float *x, float *y, uint32_t count);
void map_log(const float *x, float *y, uint32_t count);
void map_tanh(const float *x, float *y, uint32_t count);
void map_erf(const float *x, float *y, uint32_t count);

static uint32_t next(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 32);
}

/* Any float, one near 1, a subnormal, or an edge case. */
static float pick(uint64_t *state) {
    const uint32_t bits = next(state);
    switch (next(state) >> 30) {
        case 0: return mg_from_bits(bits);
        case 1: return mg_from_bits((bits & 0x807FFFFFu) | ((112u + (bits >> 8) % 32u) << 23));
        case 2: return mg_from_bits(bits & 0x807FFFFFu);
        default: return mg_from_bits(edges[bits % 16u] | (bits & 0x80000000u));
    }
}

static int32_t differ(float a, float b) {
    return mg_bits(a) != mg_bits(b) && !(a != a && b != b);
}

static int32_t fma_differs(float a, float b, float c) {
    return differ(mg_soft_fma(a, b, c), __builtin_fmaf(a, b, c));
}

int32_t fma_mismatches(uint32_t seed, uint32_t count) {
    uint64_t state = seed;
    int32_t found = 0;
    uint32_t i;
    for (i = 0; i < count; i++) {
        const float a = pick(&state), b = pick(&state);
        const float cancelling = mg_from_bits(mg_bits(-(a * b)) + next(&state) % 5u - 2u);
        found += fma_differs(a, b, (i & 1u) != 0u ? cancelling : pick(&state));
    }
    return found;
}

int32_t fma_edge_mismatches(void) {
    int32_t found = 0;
    uint32_t i;
    for (i = 0; i < 32u * 32u * 32u; i++) {
        const uint32_t a = i & 31u, b = (i >> 5) & 31u, c = i >> 10;
        found += fma_differs(mg_from_bits(edges[a >> 1] | (a << 31)), mg_from_bits(edges[b >> 1] | (b << 31)),
                             mg_from_bits(edges[c >> 1] | (c << 31)));
    }
    return found;
}

int32_t sqrt_mismatches(uint32_t start, uint32_t step) {
    int32_t found = 0;
    uint64_t bits;
    for (bits = start; bits <= UINT32_MAX; bits += step) {
        const float x = mg_from_bits((uint32_t)bits);
        found += differ(mg_soft_sqrt(x), __builtin_sqrtf(x));
    }
    return found;
}

void map_exp(const float *x, float *y, uint32_t count) {
    uint32_t i;
    for (i = 0; i < count; i++) {
        y[i] = mg_exp(x[i]);
    }
}

void map_log(const float *x, float *y, uint32_t count) {
    uint32_t i;
    for (i = 0; i < count; i++) {
        y[i] = mg_log(x[i]);
    }
}

void map_tanh(const float *x, float *y, uint32_t count) {
    uint32_t i;
    for (i = 0; i < count; i++) {
        y[i] = mg_tanh(x[i]);
    }
}

void map_erf(const float *x, float *y, uint32_t count) {
    uint32_t i;
    for (i = 0; i < count; i++) {
        y[i] = mg_erf(x[i]);
    }
}
