/* The kernels of mg_block_update.h, for the width that MG_BLOCK_BITS says. */
#ifndef MG_BLOCK_UPDATE_CORE_H
#define MG_BLOCK_UPDATE_CORE_H

#include "mg_block_core.h"
#include "mg_block_update.h"
#include "mg_float_bits.h"

/* The codes of a tensor; all but one pointer are null. */
typedef struct {
    int8_t *narrow;
    int16_t *half;
    int32_t *wide;
    int32_t first; /* of the tensor's elements: the codes may be a part of it */
} mg_moved_codes;

/* significand * 2^exponent, of 16 bits or 0. */
typedef struct {
    uint32_t significand;
    int32_t exponent;
} mg_pace;

/* A float32 of at least 0, cut to 16 bits; subnormals are 0. */
static inline mg_pace mg_pace_of(float x) {
    const uint32_t bits = mg_bits(x);
    mg_pace pace;
    pace.exponent = (int32_t)(bits >> 23 & 255u) - 127 - 15;
    pace.significand = bits >> 23 & 255u ? ((bits & 0x7FFFFFu) | 0x800000u) >> 8 : 0;
    return pace;
}

static inline mg_pace mg_pace_of_step(const mg_block_step *step) {
    mg_pace pace = mg_pace_of(*step->rate);
    if (step->factor) {
        const mg_pace factor = mg_pace_of(*step->factor);
        pace.significand = pace.significand * factor.significand >> 16;
        pace.exponent += factor.exponent + 16;
    }
    return pace;
}

/* step * 2^-places as whole codes, at most 2^29 either way. */
static inline int32_t mg_whole_block_codes(int32_t step, int32_t places, uint32_t counter) {
    const int32_t most = 1 << 29;
    uint32_t fraction;
    int32_t whole;
    if (places <= 0) {
        const int32_t room = places < -29 ? 0 : most >> -places;
        return step > room ? most : step < -room ? -most : step * (1 << (places < -29 ? 0 : -places));
    }
    whole = step >> (places > 31 ? 31 : places);
    fraction = places < 32 ? (uint32_t)step << (32 - places) : (uint32_t)(step >> (places > 63 ? 31 : places - 32));
    return whole + (mg_hashed(counter) < fraction);
}

static inline void mg_move_block_code(const mg_code_tensor *tensor, mg_moved_codes codes, int32_t i, int32_t whole) {
    const int64_t moved = (int64_t)(codes.narrow ? codes.narrow[i] : codes.half ? codes.half[i] : codes.wide[i]) - whole;
    const int32_t code = (int32_t)(moved < tensor->low ? tensor->low : moved > tensor->high ? tensor->high : moved);
    if (codes.narrow) {
        codes.narrow[i] = (int8_t)code;
    } else if (codes.half) {
        codes.half[i] = (int16_t)code;
    } else {
        codes.wide[i] = code;
    }
}

static inline void mg_block_sgd(const mg_block_sgd_params *params, mg_moved_codes codes, const mg_block *gradient,
                                const mg_block_step *step) {
    const mg_code_tensor *const tensor = &params->codes;
    const mg_pace pace = mg_pace_of_step(step);
    uint32_t counter = mg_hashed((uint32_t)*step->random ^ (uint32_t)tensor->stream) +
                       (uint32_t)codes.first * mg_random_next(0);
    int32_t i = 0;
    for (int32_t outer = tensor->outer; outer > 0; --outer) {
        for (int32_t channel = 0; channel < tensor->channels; ++channel) {
            const int32_t multiplier = (int32_t)pace.significand * step->paces[2 * channel] >> 15;
            const int32_t places = -(pace.exponent + step->paces[2 * channel + 1] + gradient->scale[1]);
            for (const int32_t end = i + tensor->inner; i < end; ++i, counter = mg_random_next(counter)) {
                const int32_t whole = mg_whole_block_codes(gradient->codes[i] * multiplier, places, counter);
                mg_move_block_code(tensor, codes, i, whole);
            }
        }
    }
}

static inline void mg_block_square_sum(const mg_block_square_sum_params *params, const mg_block *gradient,
                                       const int32_t *weights, float *total) {
    const mg_element *g = gradient->codes;
    uint64_t sum = 0;
    for (int32_t outer = params->outer; outer > 0; --outer) {
        for (int32_t channel = 0; channel < params->channels; ++channel) {
            uint64_t squares = 0;
            for (int32_t inner = params->inner; inner > 0; --inner, ++g) {
                squares += (uint32_t)(*g * *g);
            }
            sum += (squares >> params->places) * (uint32_t)weights[channel];
        }
    }
    *total = mg_float_below(sum, params->exponent + params->places + 2 * gradient->scale[1]);
}

#endif
