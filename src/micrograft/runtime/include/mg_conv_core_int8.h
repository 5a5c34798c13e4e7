/* The convolution on int8 codes behind mg_conv_int8, mg_adapted_conv_int8 and mg_sparse_conv_int8; only the second has a
 * detour, and so has mg_coded_detour_conv_int8. y_step: from one position of y to the next, out_channels or more. */
#ifndef MG_CONV_CORE_INT8_H
#define MG_CONV_CORE_INT8_H

#include "mg_columns_int8.h"
#include "mg_conv_int8.h"
#include "mg_math.h"

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

/* The codes of outputs from `from` on, at two positions of which the columns hold what they see; y of the second lies
 * `next` behind that of the first (0: there is one position, which the columns hold twice). params: for the detour. */
static inline void mg_conv_outputs_int8(const mg_conv_int8_params *params, const mg_code_range *range,
                                        const int16_t *columns, int32_t length, const int8_t *weight,
                                        const mg_channels *channels, const mg_way *here, const mg_way *there,
                                        int32_t from, int32_t outputs, int8_t *y, int32_t next) {
    const mg_code_range own = *range; /* copied, as a store of int8 may alias anything */
    const int32_t *bias = channels->bias + from;
    const int32_t *factor = channels->factors + 2 * from;
    for (; outputs > 0; outputs -= 2, from += 2, weight += 2 * length, bias += 2, factor += 4, y += 2) {
        const int32_t other = outputs > 1; /* an odd one is computed twice */
        mg_four_sums sums;
        sums.a = sums.c = bias[0];
        sums.b = sums.d = bias[other];
        mg_dot_columns_int8(columns, weight, other ? length : 0, length, &sums);
        sums.a += mg_way_units(params, here, from, factor);
        sums.b += mg_way_units(params, here, from + other, factor + 2 * other);
        sums.c += mg_way_units(params, there, from, factor);
        sums.d += mg_way_units(params, there, from + other, factor + 2 * other);
        const mg_two_codes first = mg_codes_of_two(&own, sums.a, sums.c, factor);
        const mg_two_codes second = mg_codes_of_two(&own, sums.b, sums.d, factor + 2 * other);
        y[0] = first.here;
        y[next] = first.there;
        y[other] = second.here;
        y[next + other] = second.there;
    }
}

/* Puts what the window sees whose place in the column is `column`, of `taken` channels from x on. */
static inline void mg_put_window(const mg_conv_int8_params *params, const mg_overlap *down, int32_t column,
                                 const int8_t *x, int16_t *columns, int32_t position) {
    const mg_axis *const width = &params->width;
    const mg_overlap along = mg_taps_at(width, column);
    const int32_t taken = params->in_channels / params->groups, row_length = width->kernel * taken;
    const int joined = params->groups == 1 && width->dilation == 1; /* a row of taps is one stretch */
    const int32_t runs = joined ? along.count > 0 : along.count;
    const int32_t length = joined ? along.count * taken : taken;
    const int8_t *row = x + (down->other * width->input + along.other) * params->in_channels;
    for (int32_t tap = 0, i = 0; tap < params->height.kernel; ++tap, i += row_length) {
        const int8_t *from = row;
        int32_t at = i + along.first * taken;
        if (tap < down->first || tap >= down->first + down->count) {
            mg_put_zeros(columns, position, i, row_length);
            continue;
        }
        mg_put_zeros(columns, position, i, along.first * taken);
        for (int32_t run = runs; run > 0; --run, at += length, from += width->dilation * params->in_channels) {
            mg_put_codes(columns, position, at, from, params->x_zero, length);
        }
        mg_put_zeros(columns, position, at, i + row_length - at);
        row += params->height.dilation * width->input * params->in_channels;
    }
}

/* The way from the next position on. */
static inline mg_way mg_next_way(const mg_conv_int8_params *params, mg_way way) {
#if MG_DETOUR == MG_REAL_DETOUR
    way.down += params->rank;
#elif MG_DETOUR == MG_CODED_DETOUR
    way.down_codes += params->rank;
#else
    (void)params;
#endif
    return way;
}

static inline void mg_conv_core_int8(const mg_conv_int8_params *params, const int8_t *x, const int8_t *weight,
                                     const mg_channels *channels, mg_way way, int16_t *columns, int32_t y_step,
                                     int8_t *y) {
    const int32_t taken = params->in_channels / params->groups;
    const int32_t outputs = params->out_channels / params->groups;
    const int32_t length = params->height.kernel * params->width.kernel * taken;
    for (int32_t row = 0; row < params->height.output; ++row) {
        const mg_overlap down = mg_taps_at(&params->height, row);
        for (int32_t column = 0; column < params->width.output; column += 2) {
            const int pair = column + 1 < params->width.output;
            const mg_way there = pair ? mg_next_way(params, way) : way;
            for (int32_t group = 0; group < params->groups; ++group) {
                const int32_t from = group * outputs;
                mg_put_window(params, &down, column, x + group * taken, columns, 0);
                mg_put_window(params, &down, column + pair, x + group * taken, columns, 1);
                mg_conv_outputs_int8(params, &params->y, columns, length, weight + from * length, channels, &way,
                                     &there, from, outputs, y + from, pair ? y_step : 0);
            }
            y += pair ? 2 * y_step : y_step;
            way = mg_next_way(params, there);
        }
    }
}

#endif
