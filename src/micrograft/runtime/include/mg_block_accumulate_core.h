/* The kernels of mg_block_accumulate.h, for gradients of the type MG_ADDED. */
#ifndef MG_BLOCK_ACCUMULATE_CORE_H
#define MG_BLOCK_ACCUMULATE_CORE_H

#include "mg_block_accumulate.h"
#include "mg_block_update_core.h"

#ifndef MG_ADDED
#define MG_ADDED int16_t
#endif

/* How an operand counts: codes times multiplier times 2^exponent, brought to the sum by places to the right. */
typedef struct {
    int32_t multiplier, exponent, places;
} mg_share;

static inline void mg_block_accumulate(const mg_block_add_params *params, const mg_block_int16 *total,
                                       const MG_ADDED *added, int32_t added_exponent, const float *factor) {
    mg_share before = {params->a[0], total->scale[1] + params->a[1] - 15, 0};
    mg_share more = {params->b[0], added_exponent + params->b[1] - 15, 0};
    int32_t any_before = 0, any_more = 0;
    mg_narrowing n = mg_narrowing_by(0);
    if (factor) {
        const mg_pace pace = mg_pace_of(*factor);
        more.multiplier = more.multiplier * (int32_t)pace.significand >> 16;
        more.exponent += pace.exponent + 16;
    }
    for (int32_t i = 0; i < params->size; ++i) {
        any_before |= total->codes[i];
        any_more |= added[i];
    }
    const int32_t exponent = !any_more || (any_before && before.exponent > more.exponent) ? before.exponent : more.exponent;
    before.places = exponent > before.exponent ? exponent - before.exponent : 0;
    more.places = exponent > more.exponent ? exponent - more.exponent : 0;
    for (int32_t i = 0; i < params->size; ++i) {
        const int32_t part = mg_shifted(total->codes[i] * before.multiplier, before.places);
        n.low |= mg_magnitude(part + mg_shifted(added[i] * more.multiplier, more.places));
    }
    n.shift = mg_needed(&n);
    for (int32_t i = 0; i < params->size; ++i) {
        const int32_t part = mg_shifted(total->codes[i] * before.multiplier, before.places);
        total->codes[i] = mg_narrowed(&n, part + mg_shifted(added[i] * more.multiplier, more.places));
    }
    total->scale[0] = n.shift;
    total->scale[1] = exponent + n.shift;
}

#endif
