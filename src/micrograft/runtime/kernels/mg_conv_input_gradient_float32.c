#include "mg_conv.h"
#include "mg_four.h"

/* What reaches one place of x: the taps and the positions, of dy and of the weights, along both axes. */
typedef struct {
    const float *dy, *weight;
    int32_t rows, columns, outputs;
    int32_t dy_row, dy_column;
    int32_t weight_row, weight_column, weight_output;
} reach;

/* The gradient of one channel: rows, taps and outputs in order. */
static float one_channel(const reach *r, int32_t channel) {
    float sum = 0.0f;
    for (int32_t row = 0; row < r->rows; ++row) {
        for (int32_t column = 0; column < r->columns; ++column) {
            const float *dy = r->dy + row * r->dy_row + column * r->dy_column;
            const float *w = r->weight + row * r->weight_row + column * r->weight_column + channel;
            for (int32_t output = 0; output < r->outputs; ++output, w += r->weight_output) {
                sum = mg_fma(dy[output], *w, sum);
            }
        }
    }
    return sum;
}

/* The same for four neighbouring channels, which share each element of dy. */
static mg_four four_channels(const reach *r, int32_t channel) {
    mg_four sum = mg_four_zero();
    for (int32_t row = 0; row < r->rows; ++row) {
        for (int32_t column = 0; column < r->columns; ++column) {
            const float *dy = r->dy + row * r->dy_row + column * r->dy_column;
            const float *w = r->weight + row * r->weight_row + column * r->weight_column + channel;
            sum = mg_four_combine(dy, w, r->weight_output, r->outputs, sum);
        }
    }
    return sum;
}

void mg_conv_input_gradient_float32(const mg_conv_params *params, const float *dy, const float *weight, float *dx) {
    const int32_t taken = params->in_channels / params->groups;
    const int32_t kernel = params->width.kernel;
    reach r;
    r.outputs = params->out_channels / params->groups;
    r.weight_output = params->height.kernel * kernel * taken;
    for (int32_t place = 0; place < params->height.input; ++place) {
        const mg_walk down = mg_taps_on(&params->height, place);
        r.rows = down.count;
        r.dy_row = down.other_step * params->width.output * params->out_channels;
        r.weight_row = down.step * kernel * taken;
        for (int32_t across = 0; across < params->width.input; ++across) {
            const mg_walk along = mg_taps_on(&params->width, across);
            r.columns = along.count;
            r.dy_column = along.other_step * params->out_channels;
            r.weight_column = along.step * taken;
            r.dy = dy + (down.other * params->width.output + along.other) * params->out_channels;
            r.weight = weight + (down.first * kernel + along.first) * taken;
            for (int32_t group = 0; group < params->groups; ++group, r.dy += r.outputs, dx += taken) {
                int32_t channel = 0;
                for (; channel + 4 <= taken; channel += 4) {
                    mg_four_store(four_channels(&r, channel), dx + channel);
                }
                for (; channel < taken; ++channel) {
                    dx[channel] = one_channel(&r, channel);
                }
                r.weight += r.outputs * r.weight_output;
            }
        }
    }
}
