/* Parts of the gradients of convolutions' weights, for the kernels that need all of one or a part at a time. */
#ifndef MG_WEIGHT_GRADIENT_CORE_FLOAT32_H
#define MG_WEIGHT_GRADIENT_CORE_FLOAT32_H

#include "mg_conv.h"
#include "mg_products.h"

/* dw: the rows of `count` outputs from the output `from` on, all of one group. Tap by tap: it meets x on a grid of
 * places, one for each position of dy that lays it inside. */
static inline void mg_conv_weight_gradient_rows(const mg_conv_params *params, const float *x, const float *dy,
                                                int32_t from, int32_t count, float *dw) {
    const mg_axis *const width = &params->width;
    const int32_t taken = params->in_channels / params->groups;
    const int32_t taps = params->height.kernel * width->kernel;
    const int32_t group = from / (params->out_channels / params->groups);
    mg_meeting m;
    m.left_column = width->stride * params->in_channels;
    m.left_row = params->height.stride * width->input * params->in_channels;
    m.right_column = params->out_channels;
    m.right_row = width->output * params->out_channels;
    for (int32_t tap = 0; tap < taps; ++tap) {
        const mg_overlap down = mg_positions_of(&params->height, tap / width->kernel);
        const mg_overlap along = mg_positions_of(width, tap % width->kernel);
        const float *met = x + (down.other * width->input + along.other) * params->in_channels + group * taken;
        const float *gradient = dy + (down.first * width->output + along.first) * params->out_channels + from;
        m.rows = down.count;
        m.columns = along.count;
        mg_products(&m, met, gradient, count, taken, taps * taken, dw + tap * taken);
    }
}

/* dw: all channels of one tap of a depthwise convolution. */
static inline void mg_depthwise_weight_gradient_tap(const mg_conv_params *params, const float *x, const float *dy,
                                                    int32_t tap, float *dw) {
    const mg_axis *const width = &params->width;
    const int32_t channels = params->in_channels;
    const int32_t outputs = params->out_channels;
    const int32_t multiplier = outputs / channels;
    const mg_overlap down = mg_positions_of(&params->height, tap / width->kernel);
    const mg_overlap along = mg_positions_of(width, tap % width->kernel);
    const float *met = x + (down.other * width->input + along.other) * channels;
    const float *gradient = dy + (down.first * width->output + along.first) * outputs;
    mg_meeting m;
    m.rows = down.count;
    m.columns = along.count;
    m.left_column = width->stride * channels;
    m.left_row = params->height.stride * width->input * channels;
    m.right_column = outputs;
    m.right_row = width->output * outputs;
    if (multiplier == 1) {
        mg_meeting_channels(&m, met, gradient, 0, channels, dw);
        return;
    }
    for (int32_t i = 0; i < outputs; ++i) {
        dw[i] = mg_meeting_one(&m, met + i / multiplier, gradient + i, 0.0f);
    }
}

#endif
