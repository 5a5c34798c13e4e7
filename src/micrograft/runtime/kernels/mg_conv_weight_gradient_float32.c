#include "mg_weight_gradient_core_float32.h"

void mg_conv_weight_gradient_float32(const mg_conv_params *params, const float *x, const float *dy, float *dw) {
    const int32_t outputs = params->out_channels / params->groups;
    const int32_t size = params->height.kernel * params->width.kernel * (params->in_channels / params->groups);
    for (int32_t from = 0; from < params->out_channels; from += outputs, dw += outputs * size) {
        mg_conv_weight_gradient_rows(params, x, dy, from, outputs, dw);
    }
}
