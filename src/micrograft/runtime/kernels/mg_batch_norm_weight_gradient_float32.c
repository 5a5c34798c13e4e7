#include "mg_batch_norm.h"
#include "mg_math.h"

/* One channel at a time, rows in order. */
void mg_batch_norm_weight_gradient_float32(const mg_batch_norm_params *params, const float *x, const float *dy,
                                           const float *mean, const float *variance, float *dw) {
    const int32_t channels = params->channels;
    for (int32_t channel = 0; channel < channels; ++channel, ++x, ++dy) {
        const float scale = 1.0f / mg_sqrt(variance[channel] + params->epsilon);
        float sum = 0.0f;
        for (int32_t i = 0; i < params->rows * channels; i += channels) {
            sum = mg_fma(dy[i], x[i] - mean[channel], sum);
        }
        dw[channel] = sum * scale;
    }
}
