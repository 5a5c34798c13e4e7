#include "mg_conv.h"
#include "mg_meeting.h"

/* Place by place: the taps that reach it meet the positions that lay them there. Rows and taps in order. */
void mg_depthwise_conv_input_gradient_float32(const mg_conv_params *params, const float *dy, const float *weight,
                                              float *dx) {
    const mg_axis *const width = &params->width;
    const int32_t channels = params->in_channels;
    const int32_t outputs = params->out_channels;
    const int32_t multiplier = outputs / channels;
    mg_meeting m;
    for (int32_t row = 0; row < params->height.input; ++row) {
        const mg_overlap down = mg_taps_on(&params->height, row);
        m.rows = down.count;
        m.left_row = down.other_step * width->output * outputs;
        m.right_row = down.step * width->kernel * outputs;
        for (int32_t column = 0; column < width->input; ++column, dx += channels) {
            const mg_overlap along = mg_taps_on(width, column);
            const float *gradient = dy + (down.other * width->output + along.other) * outputs;
            const float *w = weight + (down.first * width->kernel + along.first) * outputs;
            m.columns = along.count;
            m.left_column = along.other_step * outputs;
            m.right_column = along.step * outputs;
            if (multiplier == 1) {
                mg_meeting_channels(&m, gradient, w, 0, channels, dx);
                continue;
            }
            for (int32_t channel = 0; channel < channels; ++channel) {
                float sum = 0.0f;
                for (int32_t i = 0; i < multiplier; ++i) {
                    sum = mg_meeting_one(&m, gradient++, w++, sum);
                }
                dx[channel] = sum;
            }
        }
    }
}
