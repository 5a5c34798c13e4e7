#include "mg_codes.h"

void mg_dequantize_float32(const mg_quantize_params *params, const int8_t *x, float *y) {
    for (int32_t i = 0; i < params->size; ++i) {
        y[i] = params->scale * (float)(x[i] - params->zero);
    }
}
