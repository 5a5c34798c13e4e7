#include "mg_conv_of_codes.h"
#include "mg_four.h"

/* Where x and dy meet at one tap: a grid of places, and the steps between them. */
typedef struct {
    int32_t zero;
    int32_t rows, columns;
    int32_t x_row, x_column, dy_row, dy_column;
} meeting;

/* The sum of products of one channel of x with one of dy: places in order. */
static float one_product(const meeting *m, const int8_t *x, const float *dy) {
    float sum = 0.0f;
    for (int32_t row = m->rows; row > 0; --row, x += m->x_row, dy += m->dy_row) {
        const int8_t *code = x;
        const float *gradient = dy;
        for (int32_t column = m->columns; column > 0; --column, code += m->x_column, gradient += m->dy_column) {
            sum = mg_fma((float)(*code - m->zero), *gradient, sum);
        }
    }
    return sum;
}

/* The same for four neighbours of dy. */
static mg_four four_products(const meeting *m, const int8_t *x, const float *dy) {
    mg_four sum = mg_four_zero();
    for (int32_t row = m->rows; row > 0; --row, x += m->x_row, dy += m->dy_row) {
        const int8_t *code = x;
        const float *gradient = dy;
        for (int32_t column = m->columns; column > 0; --column, code += m->x_column, gradient += m->dy_column) {
            sum = mg_four_scale_add((float)(*code - m->zero), mg_four_load(gradient), sum);
        }
    }
    return sum;
}

/* All outputs of one group at one tap; the weights of an output are `size` apart. */
static void one_tap(const meeting *m, const int8_t *x, const float *dy, const mg_conv_of_codes_params *params,
                    float *dw) {
    const int32_t taken = params->in_channels / params->groups;
    const int32_t outputs = params->out_channels / params->groups;
    const int32_t size = params->height.kernel * params->width.kernel * taken;
    const float scale = params->x_scale;
    for (int32_t channel = 0; channel < taken; ++channel) {
        int32_t output = 0;
        for (; output + 4 <= outputs; output += 4) {
            const mg_four sum = four_products(m, x + channel, dy + output);
            float *to = dw + output * size + channel;
            to[0] = scale * sum.a;
            to[size] = scale * sum.b;
            to[2 * size] = scale * sum.c;
            to[3 * size] = scale * sum.d;
        }
        for (; output < outputs; ++output) {
            dw[output * size + channel] = scale * one_product(m, x + channel, dy + output);
        }
    }
}

void mg_conv_of_codes_weight_gradient_float32(const mg_conv_of_codes_params *params, const int8_t *x, const float *dy,
                                              float *dw) {
    const mg_axis *const height = &params->height;
    const mg_axis *const width = &params->width;
    const int32_t taken = params->in_channels / params->groups;
    const int32_t outputs = params->out_channels / params->groups;
    const int32_t size = height->kernel * width->kernel * taken;
    meeting m;
    m.zero = params->x_zero;
    m.x_row = height->stride * width->input * params->in_channels;
    m.x_column = width->stride * params->in_channels;
    m.dy_row = width->output * params->out_channels;
    m.dy_column = params->out_channels;
    for (int32_t row = 0; row < height->kernel; ++row) {
        const mg_overlap down = mg_positions_of(height, row);
        m.rows = down.count;
        for (int32_t column = 0; column < width->kernel; ++column, dw += taken) {
            const mg_overlap along = mg_positions_of(width, column);
            const int8_t *from = x + (down.other * width->input + along.other) * params->in_channels;
            const float *gradient = dy + (down.first * width->output + along.first) * params->out_channels;
            m.columns = along.count;
            for (int32_t group = 0; group < params->groups; ++group) {
                one_tap(&m, from + group * taken, gradient + group * outputs, params, dw + group * outputs * size);
            }
        }
    }
}
