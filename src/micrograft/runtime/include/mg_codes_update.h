/* How a tensor of integer codes moves: the step of each, a number of codes, is rounded at random, up with the
 * probability of its fraction, and taken off. Codes saturate, they never wrap; a step that is no number moves nothing.
 *
 * The random word of an element follows from the tensor, the update and its place: a counter, hashed (Wellons'
 * lowbias32). So elements may be visited in any order. Products are not fused into sums. */
#ifndef MG_CODES_UPDATE_H
#define MG_CODES_UPDATE_H

#include "mg_math.h"

/* (outer, channels, inner) codes, of which each channel has a scale: real = scale * code. */
typedef struct {
    int32_t outer, channels, inner;
    int32_t low, high; /* the codes saturate there */
    int32_t stream;    /* tells this tensor's random words from those of others */
} mg_code_tensor;

/* What an update reads beside the gradient. */
typedef struct {
    const float *rate;
    const float *scales;   /* (channels) */
    const int32_t *random; /* another one at each update */
    const float *factor;   /* on the gradient before anything else; null: 1 */
} mg_code_step;

static inline uint32_t mg_hashed(uint32_t word) {
    word = (word ^ word >> 16) * 0x7FEB352Du;
    word = (word ^ word >> 15) * 0x846CA68Bu;
    return word ^ word >> 16;
}

/* The counter of a tensor's first element. */
static inline uint32_t mg_random_start(const mg_code_tensor *codes, const mg_code_step *step) {
    return mg_hashed((uint32_t)*step->random ^ (uint32_t)codes->stream);
}

/* The counter of the next element. */
static inline uint32_t mg_random_next(uint32_t counter) {
    return counter + 0x9E3779B9u;
}

/* A step as whole codes, at most 2^29 either way: its size and a random fraction, rounded down, with its sign. */
static inline int32_t mg_whole_codes(float step, uint32_t counter) {
    const uint32_t bits = mg_bits(step);
    const uint32_t size = bits & 0x7FFFFFFFu;
    int32_t whole;
    if (size < 0x4E000000u) {
        whole = (int32_t)(mg_from_bits(size) + (float)(mg_hashed(counter) >> 8) * 0x1p-24f);
    } else {
        whole = size > 0x7F800000u ? 0 : 1 << 29;
    }
    return bits >> 31 ? -whole : whole;
}

/* A code after its step. An int8 code cannot leave an int32 by it. */
static inline int8_t mg_moved_int8(const mg_code_tensor *codes, int8_t code, float step, uint32_t counter) {
    const int32_t moved = code - mg_whole_codes(step, counter);
    return (int8_t)(moved < codes->low ? codes->low : moved > codes->high ? codes->high : moved);
}

/* 256 times a code, and what it keeps of its steps, after another step. */
static inline int32_t mg_moved_finely(const mg_code_tensor *codes, int32_t parts, float step, uint32_t counter) {
    const int32_t moved = parts - mg_whole_codes(step * 256.0f, counter);
    const int32_t low = 256 * codes->low, high = 256 * codes->high + 127;
    return moved < low ? low : moved > high ? high : moved;
}

static inline int32_t mg_moved_int32(const mg_code_tensor *codes, int32_t code, float step, uint32_t counter) {
    const int64_t moved = (int64_t)code - mg_whole_codes(step, counter);
    return (int32_t)(moved < codes->low ? codes->low : moved > codes->high ? codes->high : moved);
}

#endif
