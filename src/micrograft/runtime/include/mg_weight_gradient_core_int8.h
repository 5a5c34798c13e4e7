/* Parts of the gradients of weights of layers on int8 codes, for the kernels that need all of one or a part at a time. */
#ifndef MG_WEIGHT_GRADIENT_CORE_INT8_H
#define MG_WEIGHT_GRADIENT_CORE_INT8_H

#include "mg_code_meeting.h"
#include "mg_conv_of_codes.h"

/* Where x and dy meet at one tap. x, dy: moved to the first place of the grid. */
static inline mg_code_meeting mg_code_meeting_at(const mg_conv_of_codes_params *params, int32_t tap, const int8_t **x,
                                                 const float **dy) {
    const mg_axis *const height = &params->height;
    const mg_axis *const width = &params->width;
    const mg_overlap down = mg_positions_of(height, tap / width->kernel);
    const mg_overlap along = mg_positions_of(width, tap % width->kernel);
    mg_code_meeting m;
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

/* One place, as of a linear layer with one row: each product is stored once. */
static inline void mg_code_outer_product(const mg_conv_of_codes_params *params, const int8_t *x, const float *dy,
                                         int32_t count, float *dw) {
    const int32_t inputs = params->in_channels;
    int32_t input = 0;
    for (; input + 4 <= inputs; input += 4) {
        const mg_four codes = mg_four_codes(x + input, params->x_zero);
        const mg_four values = mg_four_scale_add(params->x_scale, codes, mg_four_zero());
        float *to = dw + input;
        for (int32_t output = 0; output < count; ++output, to += inputs) {
            const float factor = dy[output];
            to[0] = factor * values.a;
            to[1] = factor * values.b;
            to[2] = factor * values.c;
            to[3] = factor * values.d;
        }
    }
    for (; input < inputs; ++input) {
        const float value = params->x_scale * (float)(x[input] - params->x_zero);
        for (int32_t output = 0; output < count; ++output) {
            dw[output * inputs + input] = dy[output] * value;
        }
    }
}

/* `count` outputs of one group at one tap; the weights of an output are `size` apart. */
static inline void mg_code_rows_at_tap(const mg_code_meeting *m, const mg_conv_of_codes_params *params,
                                       const int8_t *x, const float *dy, int32_t count, float *dw) {
    const int32_t taken = params->in_channels / params->groups;
    const int32_t size = params->height.kernel * params->width.kernel * taken;
    const float scale = params->x_scale;
    int32_t output = 0;
    for (; output + 4 <= count; output += 4, dy += 4, dw += 4 * size) {
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
    for (; output < count; ++output, ++dy, dw += size) {
        for (int32_t channel = 0; channel < taken; ++channel) {
            dw[channel] = scale * mg_code_meeting_one(m, x + channel, dy);
        }
    }
}

/* dw: the rows of `count` outputs from the output `from` on, all of one group. */
static inline void mg_code_weight_gradient_rows(const mg_conv_of_codes_params *params, const int8_t *x,
                                                const float *dy, int32_t from, int32_t count, float *dw) {
    const int32_t taken = params->in_channels / params->groups;
    const int32_t taps = params->height.kernel * params->width.kernel;
    const int32_t group = from / (params->out_channels / params->groups);
    if (params->height.input * params->width.input == 1 && taps * taken == params->in_channels) {
        mg_code_outer_product(params, x, dy + from, count, dw);
        return;
    }
    for (int32_t tap = 0; tap < taps; ++tap, dw += taken) {
        const int8_t *met = x + group * taken;
        const float *gradient = dy + from;
        const mg_code_meeting m = mg_code_meeting_at(params, tap, &met, &gradient);
        mg_code_rows_at_tap(&m, params, met, gradient, count, dw);
    }
}

/* dw: all channels of one tap of a depthwise convolution. */
static inline void mg_code_weight_gradient_tap(const mg_conv_of_codes_params *params, const int8_t *x,
                                               const float *dy, int32_t tap, float *dw) {
    const int32_t multiplier = params->out_channels / params->in_channels;
    const float scale = params->x_scale;
    const mg_code_meeting m = mg_code_meeting_at(params, tap, &x, &dy);
    int32_t output = 0;
    for (; multiplier == 1 && output + 4 <= params->out_channels; output += 4) {
        const mg_four sum = mg_code_meeting_four(&m, x + output, dy + output);
        mg_four_store(mg_four_scale_add(scale, sum, mg_four_zero()), dw + output);
    }
    for (; output < params->out_channels; ++output) {
        dw[output] = scale * mg_code_meeting_one(&m, x + output / multiplier, dy + output);
    }
}

#endif
