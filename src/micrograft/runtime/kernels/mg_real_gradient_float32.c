#include "mg_codes_optimizers.h"

void mg_real_gradient_float32(const mg_real_gradient_params *params, const float *gradient, const float *scales,
                              float *y) {
    for (int32_t outer = params->outer; outer > 0; --outer) {
        for (int32_t channel = 0; channel < params->channels; ++channel) {
            const float factor = 1.0f / scales[channel];
            for (const float *const end = gradient + params->inner; gradient != end;) {
                *y++ = *gradient++ * factor;
            }
        }
    }
}
