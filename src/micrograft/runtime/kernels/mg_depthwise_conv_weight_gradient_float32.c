#include "mg_conv.h"
#include "mg_four.h"

/* The places of x that one tap meets, and the positions of dy where it meets them. */
typedef struct {
    const float *x, *dy;
    int32_t rows, columns;
    int32_t x_row, x_column, dy_row, dy_column;
} meeting;

/* The gradients of four neighbouring channels' weights: positions in order. */
static mg_four four_channels(const meeting *m, int32_t channel) {
    mg_four sum = mg_four_zero();
    for (int32_t row = 0; row < m->rows; ++row) {
        const float *x = m->x + row * m->x_row + channel;
        const float *dy = m->dy + row * m->dy_row + channel;
        for (int32_t column = m->columns; column > 0; --column, x += m->x_column, dy += m->dy_column) {
            sum = mg_four_multiply_add(mg_four_load(dy), mg_four_load(x), sum);
        }
    }
    return sum;
}

/* The same for one output. */
static float one_output(const meeting *m, int32_t channel, int32_t output) {
    float sum = 0.0f;
    for (int32_t row = 0; row < m->rows; ++row) {
        const float *x = m->x + row * m->x_row + channel;
        const float *dy = m->dy + row * m->dy_row + output;
        for (int32_t column = m->columns; column > 0; --column, x += m->x_column, dy += m->dy_column) {
            sum = mg_fma(*dy, *x, sum);
        }
    }
    return sum;
}

void mg_depthwise_conv_weight_gradient_float32(const mg_conv_params *params, const float *x, const float *dy,
                                               float *dw) {
    const int32_t channels = params->in_channels;
    const int32_t outputs = params->out_channels;
    const int32_t multiplier = outputs / channels;
    meeting m;
    m.x_column = params->width.stride * channels;
    m.x_row = params->height.stride * params->width.input * channels;
    m.dy_column = outputs;
    m.dy_row = params->width.output * outputs;
    for (int32_t tap = 0; tap < params->height.kernel * params->width.kernel; ++tap, dw += outputs) {
        const mg_walk down = mg_positions_of(&params->height, tap / params->width.kernel);
        const mg_walk along = mg_positions_of(&params->width, tap % params->width.kernel);
        int32_t output = 0;
        m.rows = down.count;
        m.columns = along.count;
        m.x = x + (down.other * params->width.input + along.other) * channels;
        m.dy = dy + (down.first * params->width.output + along.first) * outputs;
        for (; multiplier == 1 && output + 4 <= outputs; output += 4) {
            mg_four_store(four_channels(&m, output), dw + output);
        }
        for (; output < outputs; ++output) {
            dw[output] = one_output(&m, output / multiplier, output);
        }
    }
}
