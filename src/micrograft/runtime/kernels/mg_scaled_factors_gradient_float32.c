#include "mg_scaled_factors.h"

void mg_scaled_factors_gradient_float32(const mg_scaled_factors_params *params, const float *d_factors,
                                        const float *scale, float *y) {
    const float least = 0.0625f;
    for (int32_t output = 0; output < params->outputs; ++output) {
        const float size = scale[output] < 0.0f ? -scale[output] : scale[output];
        const float kept = size > least ? size : least;
        y[output] = d_factors[output] / (scale[output] < 0.0f ? -kept : kept);
    }
}
