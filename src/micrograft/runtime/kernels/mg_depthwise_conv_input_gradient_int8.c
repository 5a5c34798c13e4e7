#include "mg_conv.h"
#include "mg_four_int8.h"

/* What reaches one place of x: a grid of taps and the positions that lay them there. */
typedef struct {
    int32_t rows, columns;
    int32_t dy_row, dy_column, weight_row, weight_column;
} reach;

/* Adds the products of one channel's gradients and weights: rows and taps in order. */
static float one_channel(const reach *r, const float *dy, const int8_t *weight, float sum) {
    for (int32_t row = r->rows; row > 0; --row, dy += r->dy_row, weight += r->weight_row) {
        const float *gradient = dy;
        const int8_t *w = weight;
        for (int32_t column = r->columns; column > 0; --column, gradient += r->dy_column, w += r->weight_column) {
            sum = mg_fma(*gradient, (float)*w, sum);
        }
    }
    return sum;
}

/* The same for four neighbours. */
static mg_four four_channels(const reach *r, const float *dy, const int8_t *weight) {
    mg_four sum = mg_four_zero();
    for (int32_t row = r->rows; row > 0; --row, dy += r->dy_row, weight += r->weight_row) {
        const float *gradient = dy;
        const int8_t *w = weight;
        for (int32_t column = r->columns; column > 0; --column, gradient += r->dy_column, w += r->weight_column) {
            sum = mg_four_multiply_add(mg_four_load(gradient), mg_four_load_int8(w), sum);
        }
    }
    return sum;
}

/* All channels at one place. */
static void one_place(const reach *r, const float *dy, const int8_t *weight, const mg_conv_params *params, float *dx) {
    const int32_t multiplier = params->out_channels / params->in_channels;
    int32_t channel = 0;
    for (; multiplier == 1 && channel + 4 <= params->in_channels; channel += 4) {
        mg_four_store(four_channels(r, dy + channel, weight + channel), dx + channel);
    }
    for (; channel < params->in_channels; ++channel) {
        float sum = 0.0f;
        for (int32_t output = channel * multiplier; output < (channel + 1) * multiplier; ++output) {
            sum = one_channel(r, dy + output, weight + output, sum);
        }
        dx[channel] = sum;
    }
}

void mg_depthwise_conv_input_gradient_int8(const mg_conv_params *params, const float *dy, const int8_t *weight,
                                           float *dx) {
    const mg_axis *const width = &params->width;
    const int32_t outputs = params->out_channels;
    reach r;
    for (int32_t row = 0; row < params->height.input; ++row) {
        const mg_overlap down = mg_taps_on(&params->height, row);
        r.rows = down.count;
        r.dy_row = down.other_step * width->output * outputs;
        r.weight_row = down.step * width->kernel * outputs;
        for (int32_t column = 0; column < width->input; ++column, dx += params->in_channels) {
            const mg_overlap along = mg_taps_on(width, column);
            const float *gradient = dy + (down.other * width->output + along.other) * outputs;
            const int8_t *w = weight + (down.first * width->kernel + along.first) * outputs;
            r.columns = along.count;
            r.dy_column = along.other_step * outputs;
            r.weight_column = along.step * outputs;
            one_place(&r, gradient, w, params, dx);
        }
    }
}
