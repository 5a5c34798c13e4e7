#include "mg_weight_gradient_core_int8.h"

void mg_conv_of_codes_weight_gradient_float32(const mg_conv_of_codes_params *params, const int8_t *x, const float *dy,
                                              float *dw) {
    const int32_t outputs = params->out_channels / params->groups;
    const int32_t size = params->height.kernel * params->width.kernel * (params->in_channels / params->groups);
    for (int32_t from = 0; from < params->out_channels; from += outputs, dw += outputs * size) {
        mg_code_weight_gradient_rows(params, x, dy, from, outputs, dw);
    }
}
