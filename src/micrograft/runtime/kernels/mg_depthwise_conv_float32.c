#include "mg_conv.h"
#include "mg_meeting.h"

/* Position by position: a window's taps meet x on a grid. Rows and taps are summed in order, from the bias on. */
void mg_depthwise_conv_float32(const mg_conv_params *params, const float *x, const float *weight, const float *bias,
                               float *y) {
    const mg_axis *const width = &params->width;
    const int32_t channels = params->in_channels;
    const int32_t outputs = params->out_channels;
    const int32_t multiplier = outputs / channels;
    mg_meeting m;
    m.left_column = width->dilation * channels;
    m.left_row = params->height.dilation * width->input * channels;
    m.right_column = outputs;
    m.right_row = width->kernel * outputs;
    for (int32_t row = 0; row < params->height.output; ++row) {
        const mg_overlap down = mg_taps_at(&params->height, row);
        m.rows = down.count;
        for (int32_t column = 0; column < width->output; ++column, y += outputs) {
            const mg_overlap along = mg_taps_at(width, column);
            const float *seen = x + (down.other * width->input + along.other) * channels;
            const float *w = weight + (down.first * width->kernel + along.first) * outputs;
            m.columns = along.count;
            if (multiplier == 1) {
                mg_meeting_channels(&m, seen, w, bias, channels, y);
                continue;
            }
            for (int32_t i = 0; i < outputs; ++i) {
                y[i] = mg_meeting_one(&m, seen + i / multiplier, w + i, bias ? bias[i] : 0.0f);
            }
        }
    }
}
