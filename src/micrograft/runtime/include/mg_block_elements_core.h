/* The kernels of mg_block_elements.h, for the width that MG_BLOCK_BITS says. */
#ifndef MG_BLOCK_ELEMENTS_CORE_H
#define MG_BLOCK_ELEMENTS_CORE_H

#include "mg_block_core.h"
#include "mg_block_elements.h"

enum { mg_spare = 24 - (MG_BLOCK_BITS - 1) }; /* bits of a float32's significand that a code does not hold */

static inline void mg_block_quantize(const mg_elements_params *params, const float *x, const mg_block *y) {
    int32_t largest = 0;
    for (int32_t i = 0; i < params->size; ++i) {
        const int32_t exponent = (int32_t)(mg_bits(x[i]) >> 23 & 255u);
        largest = exponent > largest ? exponent : largest;
    }
    for (int32_t i = 0; i < params->size; ++i) {
        const uint32_t bits = mg_bits(x[i]);
        const int32_t exponent = (int32_t)(bits >> 23 & 255u);
        const int32_t significand = exponent ? (int32_t)(bits & 0x7FFFFFu) | 0x800000 : 0;
        const int32_t code = mg_shifted(significand, mg_spare + largest - exponent);
        y->codes[i] = mg_saturated(bits >> 31 ? -code : code);
    }
    y->scale[0] = 0;
    y->scale[1] = largest - 150 + mg_spare;
}

static inline void mg_block_dequantize(const mg_block_real_params *params, const mg_block *x, float *y) {
    const int32_t given = x->scale[1];
    const int32_t exponent = given < -126 ? -126 : given > 127 ? 127 : given;
    const float factor = params->unit * mg_from_bits((uint32_t)(exponent + 127) << 23);
    for (int32_t i = 0; i < params->size; ++i) {
        y[i] = (float)x->codes[i] * factor;
    }
}

static inline void mg_block_mask_gradient(const mg_elements_params *params, const mg_element *dy, const uint8_t *mask,
                                          mg_element *dx) {
    const int32_t size = params->size;
    for (int32_t i = 0; i < size; i += 8) {
        const int32_t count = size - i < 8 ? size - i : 8;
        uint32_t bits = *mask++;
        for (int32_t j = 0; j < count; ++j, bits >>= 1) {
            dx[i + j] = bits & 1u ? dy[i + j] : 0;
        }
    }
}

/* The 15 bits of a factor that count, and its sign. */
static inline int32_t mg_short_multiplier(int32_t multiplier) {
    return (int32_t)(((int64_t)multiplier + 0x8000) >> 16);
}

static inline void mg_block_rescale_gradient(const mg_rescale_params *params, const mg_block *dy,
                                             const int32_t *factors, const mg_block *dx) {
    const int32_t columns = params->columns;
    const int32_t size = params->rows * columns;
    int32_t most = -31;
    for (int32_t column = 0; column < columns; ++column) {
        const int32_t shift = factors[2 * column + 1];
        most = factors[2 * column] && shift > most ? shift : most;
    }
    mg_narrowing n = mg_narrowing_by(0);
    for (int32_t column = 0; column < columns; ++column) {
        const int32_t multiplier = mg_short_multiplier(factors[2 * column]);
        const int32_t less = most - factors[2 * column + 1];
        const int32_t places = less > 31 ? 31 : less < 0 ? 0 : less;
        for (int32_t i = column; i < size; i += columns) {
            n.low |= mg_magnitude(dy->codes[i] * multiplier >> places);
        }
    }
    n.shift = mg_needed(&n);
    for (int32_t column = 0; column < columns; ++column) {
        const int32_t multiplier = mg_short_multiplier(factors[2 * column]);
        const int32_t less = most - factors[2 * column + 1];
        const int32_t places = n.shift + (less < 0 ? 0 : less);
        for (int32_t i = column; i < size; i += columns) {
            dx->codes[i] = mg_saturated(mg_shifted(dy->codes[i] * multiplier, places));
        }
    }
    dx->scale[0] = n.shift;
    dx->scale[1] = dy->scale[1] + most - 15 + n.shift;
}

static inline void mg_block_lookup_gradient(const mg_lookup_gradient_params *params, const mg_block *dy,
                                            const int8_t *x, const int16_t *slopes, const mg_block *dx) {
    const int16_t *const middle = slopes + 128;
    mg_narrowing n = mg_narrowing_by(dx->scale[0]);
    do {
        for (int32_t i = 0; i < params->size; ++i) {
            dx->codes[i] = mg_narrowed(&n, dy->codes[i] * middle[x[i]]);
        }
    } while (!mg_settled(&n, dx->scale));
    dx->scale[1] = dy->scale[1] + n.shift;
}

/* What one element of dx gets. */
static inline int64_t mg_product_total(const mg_product_gradient_params *params, const mg_element *dy,
                                       const int8_t *other) {
    int32_t index[MG_OUTER_AXES] = {0};
    int64_t sum = 0;
    for (int32_t row = 0; row < params->sum_rows; ++row) {
        const mg_element *gradient = dy;
        const int8_t *code = other;
        for (int32_t column = 0; column < params->sum_columns; ++column) {
            sum += *gradient * (*code - params->zero);
            gradient += params->dy_sum_step;
            code += params->other_sum_step;
        }
        const int32_t axis = mg_next_row(params->sum_shape, index);
        dy += params->dy_sum_jump[axis];
        other += params->other_sum_jump[axis];
    }
    return sum;
}

static inline void mg_block_product_gradient(const mg_product_gradient_params *params, const mg_block *dy,
                                             const int8_t *other, const mg_block *dx) {
    mg_narrowing n = mg_narrowing_by(dx->scale[0]);
    do {
        const mg_element *from = dy->codes;
        const int8_t *with = other;
        mg_element *to = dx->codes;
        int32_t index[MG_OUTER_AXES] = {0};
        for (int32_t row = 0; row < params->rows; ++row) {
            for (int32_t column = 0; column < params->columns; ++column) {
                const mg_element *gradient = from + column * params->dy_step;
                *to++ = mg_narrowed_wide(&n, mg_product_total(params, gradient, with + column * params->other_step));
            }
            const int32_t axis = mg_next_row(params->shape, index);
            from += params->dy_jump[axis];
            with += params->other_jump[axis];
        }
    } while (!mg_settled(&n, dx->scale));
    dx->scale[1] = dy->scale[1] + n.shift;
}

static inline int mg_is_zero(const mg_element *codes, int32_t size) {
    for (int32_t i = 0; i < size; ++i) {
        if (codes[i]) {
            return 0;
        }
    }
    return 1;
}

static inline void mg_block_add(const mg_block_add_params *params, const mg_block *a, const mg_block *b,
                                const mg_block *y) {
    const int32_t size = params->size;
    const int32_t a_exponent = a->scale[1] + params->a[1] - 15;
    const int32_t b_exponent = b->scale[1] + params->b[1] - 15;
    const int only_a = mg_is_zero(b->codes, size);
    const int only_b = !only_a && mg_is_zero(a->codes, size);
    const int32_t exponent = only_a || (!only_b && a_exponent > b_exponent) ? a_exponent : b_exponent;
    const int32_t a_places = exponent > a_exponent ? exponent - a_exponent : 0;
    const int32_t b_places = exponent > b_exponent ? exponent - b_exponent : 0;
    mg_narrowing n = mg_narrowing_by(0);
    for (int32_t i = 0; i < size; ++i) {
        const int32_t part = mg_shifted(a->codes[i] * params->a[0], a_places);
        n.low |= mg_magnitude(part + mg_shifted(b->codes[i] * params->b[0], b_places));
    }
    n.shift = mg_needed(&n);
    for (int32_t i = 0; i < size; ++i) {
        const int32_t part = mg_shifted(a->codes[i] * params->a[0], a_places);
        y->codes[i] = mg_narrowed(&n, part + mg_shifted(b->codes[i] * params->b[0], b_places));
    }
    y->scale[0] = n.shift;
    y->scale[1] = exponent + n.shift;
}

#endif
