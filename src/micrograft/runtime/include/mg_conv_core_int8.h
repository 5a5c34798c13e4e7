/* The convolution on int8 codes behind mg_conv_int8, mg_adapted_conv_int8 and mg_sparse_conv_int8; only the second has a
 * detour that is not null. y_step: from one position of y to the next, out_channels or more. */
#ifndef MG_CONV_CORE_INT8_H
#define MG_CONV_CORE_INT8_H

#include "mg_conv_int8.h"
#include "mg_dot_int8.h"
#include "mg_math.h"

/* What a window sees of x: `rows` times `runs` stretches of `length` neighbours, met by as many weights. */
typedef struct {
    const int8_t *x;
    int32_t zero;
    int32_t rows, runs, length;
    int32_t x_row, x_run;
    int32_t weight_row, weight_run, weight_output;
} mg_sight;

static inline int32_t mg_sight_one(const mg_sight *s, const int8_t *weight, int32_t sum) {
    const int8_t *from = s->x;
    for (int32_t row = s->rows; row > 0; --row, from += s->x_row, weight += s->weight_row) {
        const int8_t *x = from;
        const int8_t *w = weight;
        for (int32_t run = s->runs; run > 0; --run, x += s->x_run, w += s->weight_run) {
            sum = mg_dot_int8(x, s->zero, w, s->length, sum);
        }
    }
    return sum;
}

static inline mg_four_sums mg_sight_four(const mg_sight *s, const int8_t *weight, mg_four_sums sums) {
    const int8_t *from = s->x;
    for (int32_t row = s->rows; row > 0; --row, from += s->x_row, weight += s->weight_row) {
        const int8_t *x = from;
        const int8_t *w = weight;
        for (int32_t run = s->runs; run > 0; --run, x += s->x_run, w += s->weight_run) {
            sums = mg_dot_four_int8(x, s->zero, w, s->weight_output, s->length, sums);
        }
    }
    return sums;
}

/* What the detour adds to an output's sum, in its units: up . down over the factor from sums to codes, rounded to
 * nearest, ties away from zero; at most 2^29 either way. An output whose factor is 0 gets nothing. */
static inline int32_t mg_detour_units(const mg_conv_int8_params *params, const float *up, const float *down,
                                      const int32_t *pair) {
    const float limit = 536870912.0f;
    const float factor = mg_factor(pair[0], pair[1]);
    float sum = 0.0f;
    for (int32_t i = 0; i < params->rank; ++i) {
        sum = mg_fma(up[i], down[i], sum);
    }
    sum = factor > 0.0f ? sum * params->steps / factor : 0.0f;
    sum += sum < 0.0f ? -0.5f : 0.5f;
    return sum > limit ? 1 << 29 : sum > -limit ? (int32_t)sum : -(1 << 29);
}

/* All outputs of one group at one position. bias, factor: of the first; up: null or the detour's row for it; down: the
 * detour's values here. */
static inline void mg_conv_group_int8(const mg_conv_int8_params *params, const mg_sight *s, const int8_t *weight,
                                      const int32_t *bias, const int32_t *factor, const float *up, const float *down,
                                      int32_t outputs, int8_t *y) {
    const mg_code_range *const range = &params->y;
    const int32_t rank = params->rank;
    for (; outputs >= 4; outputs -= 4, weight += 4 * s->weight_output, bias += 4, factor += 8, y += 4) {
        mg_four_sums sums = mg_sight_four(s, weight, mg_four_biases(bias));
        if (up) {
            sums.a += mg_detour_units(params, up, down, factor);
            sums.b += mg_detour_units(params, up + rank, down, factor + 2);
            sums.c += mg_detour_units(params, up + 2 * rank, down, factor + 4);
            sums.d += mg_detour_units(params, up + 3 * rank, down, factor + 6);
            up += 4 * rank;
        }
        mg_codes_of_four(range, sums, factor, y);
    }
    for (; outputs > 0; --outputs, weight += s->weight_output, factor += 2) {
        int32_t sum = mg_sight_one(s, weight, *bias++);
        if (up) {
            sum += mg_detour_units(params, up, down, factor);
            up += rank;
        }
        *y++ = mg_code_of_sum(range, sum, factor);
    }
}

static inline void mg_conv_core_int8(const mg_conv_int8_params *params, const int8_t *x, const int8_t *weight,
                                     const mg_channels *channels, const mg_detour *detour, int32_t y_step, int8_t *y) {
    const float *values = detour ? detour->down : 0;
    const mg_axis *const width = &params->width;
    const int32_t taken = params->in_channels / params->groups;
    const int32_t outputs = params->out_channels / params->groups;
    const int joined = params->groups == 1 && width->dilation == 1; /* a row of taps is one stretch */
    mg_sight s;
    s.zero = params->x_zero;
    s.x_row = params->height.dilation * width->input * params->in_channels;
    s.x_run = width->dilation * params->in_channels;
    s.weight_row = width->kernel * taken;
    s.weight_run = taken;
    s.weight_output = params->height.kernel * width->kernel * taken;
    for (int32_t row = 0; row < params->height.output; ++row) {
        const mg_overlap down = mg_taps_at(&params->height, row);
        s.rows = down.count;
        for (int32_t column = 0; column < width->output; ++column, y += y_step) {
            const mg_overlap along = mg_taps_at(width, column);
            const int8_t *w = weight + (down.first * width->kernel + along.first) * taken;
            s.x = x + (down.other * width->input + along.other) * params->in_channels;
            s.runs = joined ? 1 : along.count;
            s.length = joined ? along.count * taken : taken;
            for (int32_t from = 0; from < params->out_channels; from += outputs, s.x += taken) {
                const float *up = detour ? detour->up + from * params->rank : 0;
                mg_conv_group_int8(params, &s, w + from * s.weight_output, channels->bias + from,
                                   channels->factors + 2 * from, up, values, outputs, y + from);
            }
            if (detour) {
                values += params->rank;
            }
        }
    }
}

#endif
