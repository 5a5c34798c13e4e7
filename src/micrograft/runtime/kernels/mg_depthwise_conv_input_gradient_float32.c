#include "mg_conv.h"
#include "mg_four.h"

/* What reaches one place of x: the taps and the positions, of dy and of the weights, along both axes. */
typedef struct {
    const float *dy, *weight;
    int32_t rows, columns;
    int32_t dy_row, dy_column, weight_row, weight_column;
} reach;

/* The gradient of four neighbouring channels: rows and taps in order. */
static mg_four four_channels(const reach *r, int32_t channel) {
    mg_four sum = mg_four_zero();
    for (int32_t row = 0; row < r->rows; ++row) {
        const float *dy = r->dy + row * r->dy_row + channel;
        const float *w = r->weight + row * r->weight_row + channel;
        for (int32_t column = r->columns; column > 0; --column, dy += r->dy_column, w += r->weight_column) {
            sum = mg_four_multiply_add(mg_four_load(dy), mg_four_load(w), sum);
        }
    }
    return sum;
}

/* What reaches one channel by `count` neighbouring outputs. */
static float one_channel(const reach *r, int32_t output, int32_t count) {
    float sum = 0.0f;
    for (int32_t row = 0; row < r->rows; ++row) {
        const float *dy = r->dy + row * r->dy_row + output;
        const float *w = r->weight + row * r->weight_row + output;
        for (int32_t column = r->columns; column > 0; --column, dy += r->dy_column, w += r->weight_column) {
            for (int32_t i = 0; i < count; ++i) {
                sum = mg_fma(dy[i], w[i], sum);
            }
        }
    }
    return sum;
}

void mg_depthwise_conv_input_gradient_float32(const mg_conv_params *params, const float *dy, const float *weight,
                                              float *dx) {
    const int32_t channels = params->in_channels;
    const int32_t outputs = params->out_channels;
    const int32_t multiplier = outputs / channels;
    reach r;
    for (int32_t place = 0; place < params->height.input; ++place) {
        const mg_walk down = mg_taps_on(&params->height, place);
        r.rows = down.count;
        r.dy_row = down.other_step * params->width.output * outputs;
        r.weight_row = down.step * params->width.kernel * outputs;
        for (int32_t across = 0; across < params->width.input; ++across, dx += channels) {
            const mg_walk along = mg_taps_on(&params->width, across);
            int32_t channel = 0;
            r.columns = along.count;
            r.dy_column = along.other_step * outputs;
            r.weight_column = along.step * outputs;
            r.dy = dy + (down.other * params->width.output + along.other) * outputs;
            r.weight = weight + (down.first * params->width.kernel + along.first) * outputs;
            for (; multiplier == 1 && channel + 4 <= channels; channel += 4) {
                mg_four_store(four_channels(&r, channel), dx + channel);
            }
            for (; channel < channels; ++channel) {
                dx[channel] = one_channel(&r, channel * multiplier, multiplier);
            }
        }
    }
}
