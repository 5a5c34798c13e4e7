/* The gradient of a convolution's input, for the width that MG_BLOCK_BITS says. */
#ifndef MG_BLOCK_CONV_INPUT_GRADIENT_H
#define MG_BLOCK_CONV_INPUT_GRADIENT_H

#include "mg_block_products.h"

/* What reaches one place of x: a grid of taps and the positions that lay them there, and all outputs at each. */
typedef struct {
    int32_t rows, columns, outputs;
    int32_t dy_row, dy_column;
    int32_t weight_row, weight_column, weight_output;
} mg_conv_reach;

static inline mg_element mg_conv_one_channel(const mg_conv_reach *r, const mg_element *dy, const int8_t *weight,
                                        mg_narrowing *n) {
    int64_t sum = 0;
    for (int32_t row = r->rows; row > 0; --row, dy += r->dy_row, weight += r->weight_row) {
        const mg_element *gradient = dy;
        const int8_t *tap = weight;
        for (int32_t column = r->columns; column > 0; --column, gradient += r->dy_column, tap += r->weight_column) {
            sum = mg_block_products(gradient, tap, r->weight_output, r->outputs, sum);
        }
    }
    return mg_narrowed_wide(n, sum);
}

static inline void mg_conv_four_channels(const mg_conv_reach *r, const mg_element *dy, const int8_t *weight, mg_narrowing *n,
                                    mg_element *dx) {
    mg_block_four sum = mg_block_four_zero();
    for (int32_t row = r->rows; row > 0; --row, dy += r->dy_row, weight += r->weight_row) {
        const mg_element *gradient = dy;
        const int8_t *tap = weight;
        for (int32_t column = r->columns; column > 0; --column, gradient += r->dy_column, tap += r->weight_column) {
            sum = mg_block_four_products(gradient, tap, r->weight_output, r->outputs, sum);
        }
    }
    mg_block_four_narrowed(n, sum, dx);
}

/* All channels of one group at one place. */
static inline void mg_conv_one_group(const mg_conv_reach *r, const mg_element *dy, const int8_t *weight, int32_t channels,
                                mg_narrowing *n, mg_element *dx) {
    int32_t channel = 0;
    for (; channel + 4 <= channels; channel += 4) {
        mg_conv_four_channels(r, dy, weight + channel, n, dx + channel);
    }
    for (; channel < channels; ++channel) {
        dx[channel] = mg_conv_one_channel(r, dy, weight + channel, n);
    }
}

static inline void mg_conv_all_places(const mg_conv_params *params, const mg_element *dy, const int8_t *weight,
                                 mg_narrowing *n, mg_element *dx) {
    const mg_axis *const width = &params->width;
    const int32_t taken = params->in_channels / params->groups;
    mg_conv_reach r;
    r.outputs = params->out_channels / params->groups;
    r.weight_output = params->height.kernel * width->kernel * taken;
    for (int32_t row = 0; row < params->height.input; ++row) {
        const mg_overlap down = mg_taps_on(&params->height, row);
        r.rows = down.count;
        r.dy_row = down.other_step * width->output * params->out_channels;
        r.weight_row = down.step * width->kernel * taken;
        for (int32_t column = 0; column < width->input; ++column) {
            const mg_overlap along = mg_taps_on(width, column);
            const mg_element *gradient = dy + (down.other * width->output + along.other) * params->out_channels;
            const int8_t *w = weight + (down.first * width->kernel + along.first) * taken;
            r.columns = along.count;
            r.dy_column = along.other_step * params->out_channels;
            r.weight_column = along.step * taken;
            for (int32_t group = params->groups; group > 0; --group, gradient += r.outputs, dx += taken) {
                mg_conv_one_group(&r, gradient, w, taken, n, dx);
                w += r.outputs * r.weight_output;
            }
        }
    }
}

static inline void mg_block_conv_input_gradient(const mg_conv_params *params, const mg_block *dy,
                                                const int8_t *weight, const mg_block *dx) {
    mg_narrowing n = mg_narrowing_by(dx->scale[0]);
    do {
        mg_conv_all_places(params, dy->codes, weight, &n, dx->codes);
    } while (!mg_settled(&n, dx->scale));
    dx->scale[1] = dy->scale[1] + n.shift;
}

#endif
