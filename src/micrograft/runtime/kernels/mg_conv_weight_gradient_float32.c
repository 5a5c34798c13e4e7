#include "mg_conv.h"
#include "mg_products.h"

/* Tap by tap: it meets x on a grid of places, one for each position of dy that lays it inside. */
void mg_conv_weight_gradient_float32(const mg_conv_params *params, const float *x, const float *dy, float *dw) {
    const mg_axis *const width = &params->width;
    const int32_t taken = params->in_channels / params->groups;
    const int32_t outputs = params->out_channels / params->groups;
    const int32_t taps = params->height.kernel * width->kernel;
    mg_meeting m;
    m.left_column = width->stride * params->in_channels;
    m.left_row = params->height.stride * width->input * params->in_channels;
    m.right_column = params->out_channels;
    m.right_row = width->output * params->out_channels;
    for (int32_t tap = 0; tap < taps; ++tap, dw += taken) {
        const mg_overlap down = mg_positions_of(&params->height, tap / width->kernel);
        const mg_overlap along = mg_positions_of(width, tap % width->kernel);
        const float *met = x + (down.other * width->input + along.other) * params->in_channels;
        const float *gradient = dy + (down.first * width->output + along.first) * params->out_channels;
        float *to = dw;
        m.rows = down.count;
        m.columns = along.count;
        for (int32_t group = params->groups; group > 0; --group, met += taken, gradient += outputs) {
            mg_products(&m, met, gradient, outputs, taken, taps * taken, to);
            to += outputs * taps * taken;
        }
    }
}
