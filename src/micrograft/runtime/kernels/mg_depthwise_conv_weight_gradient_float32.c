#include "mg_conv.h"
#include "mg_meeting.h"

/* Tap by tap: it meets x on a grid of places, one for each position of dy that lays it inside. */
void mg_depthwise_conv_weight_gradient_float32(const mg_conv_params *params, const float *x, const float *dy,
                                               float *dw) {
    const mg_axis *const width = &params->width;
    const int32_t channels = params->in_channels;
    const int32_t outputs = params->out_channels;
    const int32_t multiplier = outputs / channels;
    mg_meeting m;
    m.left_column = width->stride * channels;
    m.left_row = params->height.stride * width->input * channels;
    m.right_column = outputs;
    m.right_row = width->output * outputs;
    for (int32_t tap = 0; tap < params->height.kernel * width->kernel; ++tap, dw += outputs) {
        const mg_overlap down = mg_positions_of(&params->height, tap / width->kernel);
        const mg_overlap along = mg_positions_of(width, tap % width->kernel);
        const float *met = x + (down.other * width->input + along.other) * channels;
        const float *gradient = dy + (down.first * width->output + along.first) * outputs;
        m.rows = down.count;
        m.columns = along.count;
        if (multiplier == 1) {
            mg_meeting_channels(&m, met, gradient, 0, channels, dw);
            continue;
        }
        for (int32_t i = 0; i < outputs; ++i) {
            dw[i] = mg_meeting_one(&m, met + i / multiplier, gradient + i, 0.0f);
        }
    }
}
