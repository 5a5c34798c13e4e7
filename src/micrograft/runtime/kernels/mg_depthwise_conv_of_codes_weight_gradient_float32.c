#include "mg_code_meeting.h"
#include "mg_conv_of_codes.h"

/* All channels at one tap. */
static void one_tap(const mg_code_meeting *m, const int8_t *x, const float *dy, const mg_conv_of_codes_params *params,
                    float *dw) {
    const int32_t multiplier = params->out_channels / params->in_channels;
    const float scale = params->x_scale;
    int32_t output = 0;
    for (; multiplier == 1 && output + 4 <= params->out_channels; output += 4) {
        const mg_four sum = mg_code_meeting_four(m, x + output, dy + output);
        mg_four_store(mg_four_scale_add(scale, sum, mg_four_zero()), dw + output);
    }
    for (; output < params->out_channels; ++output) {
        dw[output] = scale * mg_code_meeting_one(m, x + output / multiplier, dy + output);
    }
}

void mg_depthwise_conv_of_codes_weight_gradient_float32(const mg_conv_of_codes_params *params, const int8_t *x,
                                                        const float *dy, float *dw) {
    const mg_axis *const height = &params->height;
    const mg_axis *const width = &params->width;
    mg_code_meeting m;
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
