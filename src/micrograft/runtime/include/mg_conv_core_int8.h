/* The convolution on int8 codes behind mg_conv_int8, mg_adapted_conv_int8 and mg_sparse_conv_int8; only the second has a
 * detour, and so has mg_coded_detour_conv_int8. y_step: from one position of y to the next, out_channels or more. */
#ifndef MG_CONV_CORE_INT8_H
#define MG_CONV_CORE_INT8_H

#include "mg_conv_int8.h"
#include "mg_math.h"
#include "mg_sight_int8.h"

/* What MG_DETOUR, defined before this header, may say: a kernel with a detour of codes knows no float. */
#define MG_NO_DETOUR 0
#define MG_REAL_DETOUR 1
#define MG_CODED_DETOUR 2
#ifndef MG_DETOUR
#define MG_DETOUR MG_NO_DETOUR
#endif

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

/* The same of a detour of codes: products of 8 and 16 bits, at most 2^8 of them. */
static inline int32_t mg_coded_units(const mg_conv_int8_params *params, const int8_t *up, const int16_t *down) {
    const int32_t places = params->places;
    int32_t sum = 0;
    for (int32_t i = 0; i < params->rank; ++i) {
        sum += up[i] * down[i];
    }
    return places == 0 ? sum : ((sum >> (places - 1)) + 1) >> 1;
}

/* A detour as it is seen from one position: its values there, and the rows of all outputs. */
typedef struct {
    const float *down, *up;
    const int16_t *down_codes;
    const int8_t *up_codes;
} mg_way;

/* What the detour adds to the sum of an output; pair: its factor. */
static inline int32_t mg_way_units(const mg_conv_int8_params *params, const mg_way *way, int32_t output,
                                   const int32_t *pair) {
#if MG_DETOUR == MG_REAL_DETOUR
    return mg_detour_units(params, way->up + output * params->rank, way->down, pair);
#elif MG_DETOUR == MG_CODED_DETOUR
    (void)pair;
    return mg_coded_units(params, way->up_codes + output * params->rank, way->down_codes);
#else
    (void)params, (void)way, (void)output, (void)pair;
    return 0;
#endif
}

/* All outputs of one group at one position. bias, factor: of the first, which is output `from`. */
static inline void mg_conv_group_int8(const mg_conv_int8_params *params, const mg_sight *s, const int8_t *weight,
                                      const mg_channels *channels, const mg_way *way, int32_t from, int32_t outputs,
                                      int8_t *y) {
    const mg_code_range range = params->y; /* copied, as a store of int8 may alias anything */
    const int32_t *bias = channels->bias + from;
    const int32_t *factor = channels->factors + 2 * from;
    for (; outputs >= 4; outputs -= 4, from += 4, weight += 4 * s->weight_output, bias += 4, factor += 8, y += 4) {
        mg_four_sums sums = mg_four_biases(bias);
        mg_sight_four_int8(s, weight, &sums);
        sums.a += mg_way_units(params, way, from, factor);
        sums.b += mg_way_units(params, way, from + 1, factor + 2);
        sums.c += mg_way_units(params, way, from + 2, factor + 4);
        sums.d += mg_way_units(params, way, from + 3, factor + 6);
        mg_codes_of_four(&range, sums, factor, y);
    }
    for (; outputs > 0; --outputs, ++from, weight += s->weight_output, factor += 2) {
        const int32_t sum = mg_sight_one(s, weight, *bias++) + mg_way_units(params, way, from, factor);
        *y++ = mg_code_of_sum(&range, sum, factor);
    }
}

static inline void mg_conv_core_int8(const mg_conv_int8_params *params, const int8_t *x, const int8_t *weight,
                                     const mg_channels *channels, mg_way way, int32_t y_step, int8_t *y) {
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
                mg_conv_group_int8(params, &s, w + from * s.weight_output, channels, &way, from, outputs, y + from);
            }
#if MG_DETOUR == MG_REAL_DETOUR
            way.down += params->rank;
#elif MG_DETOUR == MG_CODED_DETOUR
            way.down_codes += params->rank;
#endif
        }
    }
}

#endif
