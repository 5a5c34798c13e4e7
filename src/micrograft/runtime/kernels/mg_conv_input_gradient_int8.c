#include "mg_conv.h"
#include "mg_four_int8.h"

/* What reaches one place of x: a grid of taps and the positions that lay them there, and all outputs at each. */
typedef struct {
    int32_t rows, columns, outputs;
    int32_t dy_row, dy_column;
    int32_t weight_row, weight_column, weight_output;
} reach;

/* The gradient of one channel: rows, taps and outputs in order. */
static float one_channel(const reach *r, const float *dy, const int8_t *weight) {
    float sum = 0.0f;
    for (int32_t row = r->rows; row > 0; --row, dy += r->dy_row, weight += r->weight_row) {
        const float *gradient = dy;
        const int8_t *tap = weight;
        for (int32_t column = r->columns; column > 0; --column, gradient += r->dy_column, tap += r->weight_column) {
            const int8_t *w = tap;
            for (int32_t output = 0; output < r->outputs; ++output, w += r->weight_output) {
                sum = mg_fma(gradient[output], (float)*w, sum);
            }
        }
    }
    return sum;
}

/* The same for four neighbouring channels. */
static mg_four four_channels(const reach *r, const float *dy, const int8_t *weight) {
    mg_four sum = mg_four_zero();
    for (int32_t row = r->rows; row > 0; --row, dy += r->dy_row, weight += r->weight_row) {
        const float *gradient = dy;
        const int8_t *tap = weight;
        for (int32_t column = r->columns; column > 0; --column, gradient += r->dy_column, tap += r->weight_column) {
            sum = mg_four_combine_int8(gradient, tap, r->weight_output, r->outputs, sum);
        }
    }
    return sum;
}

/* All channels of one group at one place. */
static void one_group(const reach *r, const float *dy, const int8_t *weight, int32_t channels, float *dx) {
    int32_t channel = 0;
    for (; channel + 4 <= channels; channel += 4) {
        mg_four_store(four_channels(r, dy, weight + channel), dx + channel);
    }
    for (; channel < channels; ++channel) {
        dx[channel] = one_channel(r, dy, weight + channel);
    }
}

void mg_conv_input_gradient_int8(const mg_conv_params *params, const float *dy, const int8_t *weight, float *dx) {
    const mg_axis *const width = &params->width;
    const int32_t taken = params->in_channels / params->groups;
    reach r;
    r.outputs = params->out_channels / params->groups;
    r.weight_output = params->height.kernel * width->kernel * taken;
    for (int32_t row = 0; row < params->height.input; ++row) {
        const mg_overlap down = mg_taps_on(&params->height, row);
        r.rows = down.count;
        r.dy_row = down.other_step * width->output * params->out_channels;
        r.weight_row = down.step * width->kernel * taken;
        for (int32_t column = 0; column < width->input; ++column) {
            const mg_overlap along = mg_taps_on(width, column);
            const float *gradient = dy + (down.other * width->output + along.other) * params->out_channels;
            const int8_t *w = weight + (down.first * width->kernel + along.first) * taken;
            r.columns = along.count;
            r.dy_column = along.other_step * params->out_channels;
            r.weight_column = along.step * taken;
            for (int32_t group = params->groups; group > 0; --group, gradient += r.outputs, dx += taken) {
                one_group(&r, gradient, w, taken, dx);
                w += r.outputs * r.weight_output;
            }
        }
    }
}
