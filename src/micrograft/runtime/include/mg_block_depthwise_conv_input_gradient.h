/* The gradient of a depthwise convolution's input, for the width that MG_BLOCK_BITS says. */
#ifndef MG_BLOCK_DEPTHWISE_CONV_INPUT_GRADIENT_H
#define MG_BLOCK_DEPTHWISE_CONV_INPUT_GRADIENT_H

#include "mg_block_products.h"

/* What reaches one place of x: a grid of taps and the positions that lay them there. */
typedef struct {
    int32_t rows, columns;
    int32_t dy_row, dy_column, weight_row, weight_column;
} mg_depthwise_reach;

/* Adds the products of one channel. */
static inline int64_t mg_depthwise_one_channel(const mg_depthwise_reach *r, const mg_element *dy, const int8_t *weight, int64_t sum) {
    for (int32_t row = r->rows; row > 0; --row, dy += r->dy_row, weight += r->weight_row) {
        const mg_element *gradient = dy;
        const int8_t *w = weight;
        for (int32_t left = r->columns; left > 0; left -= mg_run) {
            int32_t part = 0;
            for (int32_t run = left < mg_run ? left : mg_run; run > 0; --run) {
                part += *gradient * *w;
                gradient += r->dy_column;
                w += r->weight_column;
            }
            sum += part;
        }
    }
    return sum;
}

static inline void mg_depthwise_four_channels(const mg_depthwise_reach *r, const mg_element *dy, const int8_t *weight, mg_narrowing *n,
                                    mg_element *dx) {
    mg_block_four sum = mg_block_four_zero();
    for (int32_t row = r->rows; row > 0; --row, dy += r->dy_row, weight += r->weight_row) {
        const mg_element *gradient = dy;
        const int8_t *w = weight;
        for (int32_t left = r->columns; left > 0; left -= mg_run) {
            int32_t a = 0, b = 0, c = 0, d = 0;
            for (int32_t run = left < mg_run ? left : mg_run; run > 0; --run) {
                a += gradient[0] * w[0];
                b += gradient[1] * w[1];
                c += gradient[2] * w[2];
                d += gradient[3] * w[3];
                gradient += r->dy_column;
                w += r->weight_column;
            }
            sum.a += a;
            sum.b += b;
            sum.c += c;
            sum.d += d;
        }
    }
    mg_block_four_narrowed(n, sum, dx);
}

/* All channels at one place. */
static inline void mg_depthwise_one_place(const mg_depthwise_reach *r, const mg_element *dy, const int8_t *weight,
                                const mg_conv_params *params, mg_narrowing *n, mg_element *dx) {
    const int32_t multiplier = params->out_channels / params->in_channels;
    int32_t channel = 0;
    for (; multiplier == 1 && channel + 4 <= params->in_channels; channel += 4) {
        mg_depthwise_four_channels(r, dy + channel, weight + channel, n, dx + channel);
    }
    for (; channel < params->in_channels; ++channel) {
        int64_t sum = 0;
        for (int32_t output = channel * multiplier; output < (channel + 1) * multiplier; ++output) {
            sum = mg_depthwise_one_channel(r, dy + output, weight + output, sum);
        }
        dx[channel] = mg_narrowed_wide(n, sum);
    }
}

static inline void mg_depthwise_all_places(const mg_conv_params *params, const mg_element *dy, const int8_t *weight,
                                 mg_narrowing *n, mg_element *dx) {
    const mg_axis *const width = &params->width;
    const int32_t outputs = params->out_channels;
    mg_depthwise_reach r;
    for (int32_t row = 0; row < params->height.input; ++row) {
        const mg_overlap down = mg_taps_on(&params->height, row);
        r.rows = down.count;
        r.dy_row = down.other_step * width->output * outputs;
        r.weight_row = down.step * width->kernel * outputs;
        for (int32_t column = 0; column < width->input; ++column, dx += params->in_channels) {
            const mg_overlap along = mg_taps_on(width, column);
            const mg_element *gradient = dy + (down.other * width->output + along.other) * outputs;
            const int8_t *w = weight + (down.first * width->kernel + along.first) * outputs;
            r.columns = along.count;
            r.dy_column = along.other_step * outputs;
            r.weight_column = along.step * outputs;
            mg_depthwise_one_place(&r, gradient, w, params, n, dx);
        }
    }
}

static inline void mg_block_depthwise_conv_input_gradient(const mg_conv_params *params, const mg_block *dy,
                                                          const int8_t *weight, const mg_block *dx) {
    mg_narrowing n = mg_narrowing_by(dx->scale[0]);
    do {
        mg_depthwise_all_places(params, dy->codes, weight, &n, dx->codes);
    } while (!mg_settled(&n, dx->scale));
    dx->scale[1] = dy->scale[1] + n.shift;
}

#endif
