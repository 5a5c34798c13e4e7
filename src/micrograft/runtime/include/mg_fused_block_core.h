/* The kernels of mg_fused_block_update.h, for the width that MG_BLOCK_BITS says. */
#ifndef MG_FUSED_BLOCK_CORE_H
#define MG_FUSED_BLOCK_CORE_H

#include "mg_block_update_core.h"
#include "mg_block_weight_gradient.h"
#include "mg_code_part.h"
#include "mg_fused_block_update.h"

#if MG_BLOCK_BITS == 16
typedef mg_gradient_block_int16 mg_gradient_block;
#else
typedef mg_gradient_block_int8 mg_gradient_block;
#endif

/* The part that begins at element `from` of the weight. Returns how many elements that is. */
static inline int32_t mg_block_gradient_part(const mg_gradient_int8_params *params, const mg_gradient_block *gradient,
                                             int32_t from, mg_narrowing *n) {
    const mg_conv_of_codes_params *const conv = &params->conv;
    const mg_rows rows = mg_rows_from(params, from);
    if (params->depthwise) {
        mg_block_depthwise_tap(conv, gradient->x, gradient->dy, from / rows.size, n, gradient->part);
    } else {
        mg_block_rows(conv, gradient->x, gradient->dy, rows.first, rows.count, n, gradient->part);
    }
    return rows.size;
}

static inline void mg_block_gradient_scale(const mg_gradient_int8_params *params, const mg_gradient_block *gradient) {
    mg_narrowing n = mg_narrowing_by(gradient->scale[0]);
    for (int32_t from = 0; from < params->size;) {
        from += mg_block_gradient_part(params, gradient, from, &n);
    }
    mg_settled(&n, gradient->scale); /* by which n tells the shift, whether the part's codes stand or not */
    gradient->scale[1] = gradient->dy_scale[1] + n.shift;
}

/* The sum of the squares of one part, as mg_block_square_sum sums them. one: the squares so far of the only channel. */
static inline uint64_t mg_block_part_squares(const mg_fused_block_square_sum_params *params, const mg_element *g,
                                             int32_t from, int32_t count, const int32_t *weights, uint64_t *one) {
    const mg_block_square_sum_params *const own = &params->update;
    int32_t channel = from / own->inner % own->channels;
    uint64_t sum = 0;
    for (const mg_element *const end = g + count; g != end; ++channel) {
        uint64_t squares = 0;
        for (int32_t inner = own->channels == 1 ? count : own->inner; inner > 0; --inner, ++g) {
            squares += (uint32_t)(*g * *g);
        }
        if (own->channels == 1) {
            *one += squares;
        } else {
            sum += (squares >> own->places) * (uint32_t)weights[channel];
        }
    }
    return sum;
}

static inline void mg_fused_block_square_sum(const mg_fused_block_square_sum_params *params,
                                             const mg_gradient_block *gradient, const int32_t *weights, float *total) {
    const mg_block_square_sum_params *const own = &params->update;
    mg_narrowing n = mg_narrowing_by(gradient->scale[0]);
    uint64_t sum, one;
    do {
        sum = one = 0;
        for (int32_t from = 0, count; from < params->gradient.size; from += count) {
            count = mg_block_gradient_part(&params->gradient, gradient, from, &n);
            sum += mg_block_part_squares(params, gradient->part, from, count, weights, &one);
        }
    } while (!mg_settled(&n, gradient->scale));
    if (own->channels == 1) {
        sum = (one >> own->places) * (uint32_t)weights[0];
    }
    gradient->scale[1] = gradient->dy_scale[1] + n.shift;
    *total = mg_float_below(sum, own->exponent + own->places + 2 * gradient->scale[1]);
}

static inline void mg_fused_block_sgd(const mg_fused_block_sgd_params *params, int8_t *codes,
                                      const mg_gradient_block *gradient, const mg_block_step *step) {
    const mg_code_tensor *const whole = &params->update.codes;
    const mg_block block = {gradient->part, gradient->scale};
    mg_narrowing n = mg_narrowing_by(gradient->scale[1] - gradient->dy_scale[1]);
    mg_block_sgd_params part = params->update;
    mg_block_step own = *step;
    for (int32_t from = 0, count; from < params->gradient.size; from += count) {
        const mg_moved_codes found = {codes + from, 0, 0, from};
        count = mg_block_gradient_part(&params->gradient, gradient, from, &n);
        part.codes = mg_part_of_codes(whole, count);
        own.paces = step->paces + 2 * mg_first_channel(whole, from);
        mg_block_sgd(&part, found, &block, &own);
    }
}

#endif
