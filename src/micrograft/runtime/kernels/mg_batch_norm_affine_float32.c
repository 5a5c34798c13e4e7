#include "mg_batch_norm.h"
#include "mg_math.h"

void mg_batch_norm_affine_float32(const mg_batch_norm_params *params, const float *x, const float *weight,
                                  const float *bias, float *y) {
    const int32_t channels = params->channels;
    for (int32_t channel = 0; channel < channels; ++channel, ++x, ++y) {
        const float factor = weight[channel];
        const float offset = bias[channel];
        for (int32_t i = 0; i < params->rows * channels; i += channels) {
            y[i] = mg_fma(x[i], factor, offset);
        }
    }
}
