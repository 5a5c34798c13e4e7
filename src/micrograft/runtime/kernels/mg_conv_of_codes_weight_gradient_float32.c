#include "mg_code_meeting.h"
#include "mg_conv_of_codes.h"

/* All outputs of one group at one tap; the weights of an output are `size` apart. */
static void one_tap(const mg_code_meeting *m, const int8_t *x, const float *dy, const mg_conv_of_codes_params *params,
                    float *dw) {
    const int32_t taken = params->in_channels / params->groups;
    const int32_t outputs = params->out_channels / params->groups;
    const int32_t size = params->height.kernel * params->width.kernel * taken;
    const float scale = params->x_scale;
    int32_t output = 0;
    for (; output + 4 <= outputs; output += 4, dy += 4, dw += 4 * size) {
        int32_t channel = 0;
        for (; channel + 4 <= taken; channel += 4) {
            mg_code_products_4x4(m, x + channel, dy, scale, size, dw + channel);
        }
        for (; channel < taken; ++channel) {
            const mg_four sum = mg_code_products_4x1(m, x + channel, dy);
            dw[channel] = scale * sum.a;
            dw[channel + size] = scale * sum.b;
            dw[channel + 2 * size] = scale * sum.c;
            dw[channel + 3 * size] = scale * sum.d;
        }
    }
    for (; output < outputs; ++output, ++dy, dw += size) {
        for (int32_t channel = 0; channel < taken; ++channel) {
            dw[channel] = scale * mg_code_meeting_one(m, x + channel, dy);
        }
    }
}

/* One place, as of a linear layer with one row: each product is stored once. */
static void outer_product(const mg_conv_of_codes_params *params, const int8_t *x, const float *dy, float *dw) {
    const int32_t inputs = params->in_channels;
    int32_t input = 0;
    for (; input + 4 <= inputs; input += 4) {
        const mg_four codes = mg_four_codes(x + input, params->x_zero);
        const mg_four values = mg_four_scale_add(params->x_scale, codes, mg_four_zero());
        float *to = dw + input;
        for (int32_t output = 0; output < params->out_channels; ++output, to += inputs) {
            const float factor = dy[output];
            to[0] = factor * values.a;
            to[1] = factor * values.b;
            to[2] = factor * values.c;
            to[3] = factor * values.d;
        }
    }
    for (; input < inputs; ++input) {
        const float value = params->x_scale * (float)(x[input] - params->x_zero);
        for (int32_t output = 0; output < params->out_channels; ++output) {
            dw[output * inputs + input] = dy[output] * value;
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
    mg_code_meeting m;
    if (height->input * width->input == 1 && size == params->in_channels) {
        outer_product(params, x, dy, dw);
        return;
    }
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
