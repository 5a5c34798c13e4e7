/* The convolution behind mg_conv_float32 and mg_sparse_conv_float32. */
#ifndef MG_CONV_CORE_FLOAT32_H
#define MG_CONV_CORE_FLOAT32_H

#include "mg_conv.h"
#include "mg_four.h"

/* What a window sees of x: `rows` times `runs` stretches of `length` neighbours, met by as many weights. */
typedef struct {
    const float *x;
    int32_t rows, runs, length;
    int32_t x_row, x_run, x_next; /* to the next row, run, and position */
    int32_t weight_row, weight_run, weight_output;
} mg_conv_sight;

/* Adds one output's products to sum: rows, taps and channels in order. */
static inline float mg_conv_one_output(const mg_conv_sight *s, const float *weight, float sum) {
    const float *from = s->x;
    for (int32_t row = s->rows; row > 0; --row, from += s->x_row, weight += s->weight_row) {
        const float *x = from;
        const float *w = weight;
        for (int32_t run = s->runs; run > 0; --run, x += s->x_run, w += s->weight_run) {
            for (int32_t i = 0; i < s->length; ++i) {
                sum = mg_fma(x[i], w[i], sum);
            }
        }
    }
    return sum;
}

/* The same for four outputs. */
static inline mg_four mg_conv_four_outputs(const mg_conv_sight *s, const float *weight, mg_four sum) {
    const float *from = s->x;
    for (int32_t row = s->rows; row > 0; --row, from += s->x_row, weight += s->weight_row) {
        const float *x = from;
        const float *w = weight;
        for (int32_t run = s->runs; run > 0; --run, x += s->x_run, w += s->weight_run) {
            sum = mg_four_dot(x, w, s->weight_output, s->length, sum);
        }
    }
    return sum;
}

/* The same for four outputs at this position and at the next. */
static inline mg_eight mg_conv_two_positions(const mg_conv_sight *s, const float *weight, mg_four start) {
    const float *from = s->x;
    mg_eight sum;
    sum.first = sum.second = start;
    for (int32_t row = s->rows; row > 0; --row, from += s->x_row, weight += s->weight_row) {
        const float *x = from;
        const float *w = weight;
        for (int32_t run = s->runs; run > 0; --run, x += s->x_run, w += s->weight_run) {
            sum = mg_eight_dot(x, x + s->x_next, w, s->weight_output, s->length, sum);
        }
    }
    return sum;
}

/* All outputs of one group, at one position or at two. */
static inline void mg_conv_group(const mg_conv_sight *s, const float *weight, const float *bias, int32_t outputs, float *y,
                      float *y_next) {
    int32_t output = 0;
    for (; output + 4 <= outputs; output += 4, weight += 4 * s->weight_output) {
        const mg_four start = bias ? mg_four_load(bias + output) : mg_four_zero();
        if (y_next) {
            const mg_eight sum = mg_conv_two_positions(s, weight, start);
            mg_four_store(sum.first, y + output);
            mg_four_store(sum.second, y_next + output);
        } else {
            mg_four_store(mg_conv_four_outputs(s, weight, start), y + output);
        }
    }
    for (; output < outputs; ++output, weight += s->weight_output) {
        const float start = bias ? bias[output] : 0.0f;
        y[output] = mg_conv_one_output(s, weight, start);
        if (y_next) {
            mg_conv_sight next = *s;
            next.x += s->x_next;
            y_next[output] = mg_conv_one_output(&next, weight, start);
        }
    }
}

/* y_step: from one position of y to the next, out_channels or more. */
static inline void mg_conv_core_float32(const mg_conv_params *params, const float *x, const float *weight,
                                        const float *bias, int32_t y_step, float *y) {
    const mg_axis *const width = &params->width;
    const int32_t channels = params->in_channels;
    const int32_t taken = channels / params->groups;
    const int32_t outputs = params->out_channels / params->groups;
    const int joined = params->groups == 1 && width->dilation == 1; /* a row of taps is one stretch */
    mg_conv_sight s;
    s.x_row = params->height.dilation * width->input * channels;
    s.x_run = width->dilation * channels;
    s.x_next = width->stride * channels;
    s.weight_row = width->kernel * taken;
    s.weight_run = taken;
    s.weight_output = params->height.kernel * width->kernel * taken;
    for (int32_t row = 0; row < params->height.output; ++row) {
        const mg_overlap down = mg_taps_at(&params->height, row);
        s.rows = down.count;
        for (int32_t column = 0, positions; column < width->output; column += positions) {
            const mg_overlap along = mg_taps_at(width, column);
            const mg_overlap ahead = mg_taps_at(width, column + 1);
            const int same = ahead.first == along.first && ahead.count == along.count;
            const float *w = weight + (down.first * width->kernel + along.first) * taken;
            positions = same && column + 1 < width->output ? 2 : 1;
            s.x = x + (down.other * width->input + along.other) * channels;
            s.runs = joined ? 1 : along.count;
            s.length = joined ? along.count * channels : taken;
            for (int32_t from = 0; from < params->out_channels; from += outputs, s.x += taken) {
                float *next = positions == 2 ? y + y_step + from : 0;
                mg_conv_group(&s, w + from * s.weight_output, bias ? bias + from : 0, outputs, y + from, next);
            }
            y += positions * y_step;
        }
    }
}

#endif
