#include "mg_weight_gradient_core_int8.h"

void mg_depthwise_conv_of_codes_weight_gradient_float32(const mg_conv_of_codes_params *params, const int8_t *x,
                                                        const float *dy, float *dw) {
    const int32_t taps = params->height.kernel * params->width.kernel;
    for (int32_t tap = 0; tap < taps; ++tap, dw += params->out_channels) {
        mg_code_weight_gradient_tap(params, x, dy, tap, dw);
    }
}
