/* Gradients of the weights of layers on int8 codes, for the width that MG_BLOCK_BITS says. */
#ifndef MG_BLOCK_WEIGHT_GRADIENT_H
#define MG_BLOCK_WEIGHT_GRADIENT_H

#include "mg_block_products.h"

/* Where x and dy meet at one tap: a grid of places, and the steps between them. */
typedef struct {
    int32_t zero;
    int32_t rows, columns;
    int32_t x_row, x_column, dy_row, dy_column;
} mg_block_meeting;

/* The sum of products of one channel of x with one of dy. */
static inline int64_t mg_block_meet(const mg_block_meeting *m, const int8_t *x, const mg_element *dy) {
    int64_t sum = 0;
    for (int32_t row = m->rows; row > 0; --row, x += m->x_row, dy += m->dy_row) {
        const int8_t *code = x;
        const mg_element *gradient = dy;
        for (int32_t left = m->columns; left > 0; left -= mg_run) {
            int32_t part = 0;
            for (int32_t run = left < mg_run ? left : mg_run; run > 0; --run) {
                part += (*code - m->zero) * *gradient;
                code += m->x_column;
                gradient += m->dy_column;
            }
            sum += part;
        }
    }
    return sum;
}

/* The same of one channel of x with four neighbours of dy; or, `apart` being 1, of four neighbours each with its own. */
static inline mg_block_four mg_block_meet_four(const mg_block_meeting *m, const int8_t *x, const mg_element *dy,
                                               int32_t apart) {
    mg_block_four sum = mg_block_four_zero();
    for (int32_t row = m->rows; row > 0; --row, x += m->x_row, dy += m->dy_row) {
        const int8_t *code = x;
        const mg_element *gradient = dy;
        for (int32_t left = m->columns; left > 0; left -= mg_run) {
            int32_t a = 0, b = 0, c = 0, d = 0;
            for (int32_t run = left < mg_run ? left : mg_run; run > 0; --run) {
                const int32_t value = *code - m->zero;
                a += value * gradient[0];
                b += (apart ? code[1] - m->zero : value) * gradient[1];
                c += (apart ? code[2] - m->zero : value) * gradient[2];
                d += (apart ? code[3] - m->zero : value) * gradient[3];
                code += m->x_column;
                gradient += m->dy_column;
            }
            sum.a += a;
            sum.b += b;
            sum.c += c;
            sum.d += d;
        }
    }
    return sum;
}

/* Where x and dy meet at one tap. x, dy: moved to the first place of the grid. */
static inline mg_block_meeting mg_block_meeting_at(const mg_conv_of_codes_params *params, int32_t tap,
                                                   const int8_t **x, const mg_element **dy) {
    const mg_axis *const height = &params->height;
    const mg_axis *const width = &params->width;
    const mg_overlap down = mg_positions_of(height, tap / width->kernel);
    const mg_overlap along = mg_positions_of(width, tap % width->kernel);
    mg_block_meeting m;
    m.zero = params->x_zero;
    m.rows = down.count;
    m.columns = along.count;
    m.x_row = height->stride * width->input * params->in_channels;
    m.x_column = width->stride * params->in_channels;
    m.dy_row = width->output * params->out_channels;
    m.dy_column = params->out_channels;
    *x += (down.other * width->input + along.other) * params->in_channels;
    *dy += (down.first * width->output + along.first) * params->out_channels;
    return m;
}

/* `count` outputs of one group at one tap; the weights of an output are `size` apart. */
static inline void mg_block_rows_at_tap(const mg_block_meeting *m, const int8_t *x, const mg_element *dy,
                                        const mg_conv_of_codes_params *params, int32_t count, mg_narrowing *n,
                                        mg_element *dw) {
    const int32_t taken = params->in_channels / params->groups;
    const int32_t size = params->height.kernel * params->width.kernel * taken;
    for (int32_t channel = 0; channel < taken; ++channel) {
        int32_t output = 0;
        for (; output + 4 <= count; output += 4) {
            const mg_block_four sum = mg_block_meet_four(m, x + channel, dy + output, 0);
            mg_element *to = dw + output * size + channel;
            to[0] = mg_narrowed_wide(n, sum.a);
            to[size] = mg_narrowed_wide(n, sum.b);
            to[2 * size] = mg_narrowed_wide(n, sum.c);
            to[3 * size] = mg_narrowed_wide(n, sum.d);
        }
        for (; output < count; ++output) {
            dw[output * size + channel] = mg_narrowed_wide(n, mg_block_meet(m, x + channel, dy + output));
        }
    }
}

/* dw: the rows of `count` outputs from the output `from` on, all of one group. */
static inline void mg_block_rows(const mg_conv_of_codes_params *params, const int8_t *x, const mg_element *dy,
                                 int32_t from, int32_t count, mg_narrowing *n, mg_element *dw) {
    const int32_t taken = params->in_channels / params->groups;
    const int32_t taps = params->height.kernel * params->width.kernel;
    const int32_t group = from / (params->out_channels / params->groups);
    for (int32_t tap = 0; tap < taps; ++tap, dw += taken) {
        const int8_t *met = x + group * taken;
        const mg_element *gradient = dy + from;
        const mg_block_meeting m = mg_block_meeting_at(params, tap, &met, &gradient);
        mg_block_rows_at_tap(&m, met, gradient, params, count, n, dw);
    }
}

/* dw: all channels of a depthwise convolution at one tap. */
static inline void mg_block_depthwise_tap(const mg_conv_of_codes_params *params, const int8_t *x,
                                          const mg_element *dy, int32_t tap, mg_narrowing *n, mg_element *dw) {
    const int32_t multiplier = params->out_channels / params->in_channels;
    const mg_block_meeting m = mg_block_meeting_at(params, tap, &x, &dy);
    int32_t output = 0;
    for (; multiplier == 1 && output + 4 <= params->out_channels; output += 4) {
        mg_block_four_narrowed(n, mg_block_meet_four(&m, x + output, dy + output, 1), dw + output);
    }
    for (; output < params->out_channels; ++output) {
        dw[output] = mg_narrowed_wide(n, mg_block_meet(&m, x + output / multiplier, dy + output));
    }
}

static inline void mg_block_all_taps(const mg_conv_of_codes_params *params, int depthwise, const int8_t *x,
                                     const mg_element *dy, mg_narrowing *n, mg_element *dw) {
    const int32_t taps = params->height.kernel * params->width.kernel;
    const int32_t outputs = params->out_channels / params->groups;
    const int32_t size = taps * (params->in_channels / params->groups);
    if (depthwise) {
        for (int32_t tap = 0; tap < taps; ++tap, dw += params->out_channels) {
            mg_block_depthwise_tap(params, x, dy, tap, n, dw);
        }
        return;
    }
    for (int32_t from = 0; from < params->out_channels; from += outputs, dw += outputs * size) {
        mg_block_rows(params, x, dy, from, outputs, n, dw);
    }
}

static inline void mg_block_weight_gradient(const mg_conv_of_codes_params *params, int depthwise, const int8_t *x,
                                            const mg_block *dy, const mg_block *dw) {
    mg_narrowing n = mg_narrowing_by(dw->scale[0]);
    do {
        mg_block_all_taps(params, depthwise, x, dy->codes, &n, dw->codes);
    } while (!mg_settled(&n, dw->scale));
    dw->scale[1] = dy->scale[1] + n.shift;
}

#endif
