#include "mg_conv_core_float32.h"

void mg_conv_float32(const mg_conv_params *params, const float *x, const float *weight, const float *bias, float *y) {
    mg_conv_core_float32(params, x, weight, bias, params->out_channels, y);
}
