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

/* Four neighbouring channels, each with its own of dy. */
static mg_four four_products(const meeting *m, const int8_t *x, const float *dy) {
    mg_four sum = mg_four_zero();
    for (int32_t row = m->rows; row > 0; --row, x += m->x_row, dy += m->dy_row) {
        const int8_t *code = x;
        const float *gradient = dy;
        for (int32_t column = m->columns; column > 0; --column, code += m->x_column, gradient += m->dy_column) {
            sum.a = mg_fma((float)(code[0] - m->zero), gradient[0], sum.a);
            sum.b = mg_fma((float)(code[1] - m->zero), gradient[1], sum.b);
            sum.c = mg_fma((float)(code[2] - m->zero), gradient[2], sum.c);
            sum.d = mg_fma((float)(code[3] - m->zero), gradient[3], sum.d);
        }
    }
    return sum;
}

/* All channels at one tap. */
static void one_tap(const meeting *m, const int8_t *x, const float *dy, const mg_conv_of_codes_params *params,
                    float *dw) {
    const int32_t multiplier = params->out_channels / params->in_channels;
    const float scale = params->x_scale;
    int32_t output = 0;
    for (; multiplier == 1 && output + 4 <= params->out_channels; output += 4) {
        const mg_four sum = four_products(m, x + output, dy + output);
        mg_four_store(mg_four_scale_add(scale, sum, mg_four_zero()), dw + output);
    }
    for (; output < params->out_channels; ++output) {
        dw[output] = scale * one_product(m, x + output / multiplier, dy + output);
    }
}

void mg_depthwise_conv_of_codes_weight_gradient_float32(const mg_conv_of_codes_params *params, const int8_t *x,
                                                        const float *dy, float *dw) {
    const mg_axis *const height = &params->height;
    const mg_axis *const width = &params->width;
    meeting m;
    m.zero = params->x_zero;
    m.x_row = height->stride * width->input * params->in_channels;
    m.x_column = width->stride * params->in_channels;
    m.dy_row = width->output * params->out_channels;
    m.dy_column = params->out_channels;
    for (int32_t row = 0; row < height->kernel; ++row) {
        const mg_overlap down = mg_positions_of(height, row);
        m.rows = down.count;
        for (int32_t column = 0; column < width->kernel; ++column, dw += params->out_channels) {
            const mg_overlap along = mg_positions_of(width, column);
            const int8_t *from = x + (down.other * width->input + along.other) * params->in_channels;
            const float *gradient = dy + (down.first * width->output + along.first) * params->out_channels;
            m.columns = along.count;
            one_tap(&m, from, gradient, params, dw);
        }
    }
}
