#include "mg_codes.h"

void mg_lookup_gradient_float32(const mg_lookup_gradient_params *params, const float *dy, const int8_t *x,
                                const int16_t *slopes, float *dx) {
    const float unit = params->unit;
    const int16_t *const middle = slopes + 128;
    for (int32_t i = 0; i < params->size; ++i) {
        dx[i] = dy[i] * ((float)middle[x[i]] * unit);
    }
}
