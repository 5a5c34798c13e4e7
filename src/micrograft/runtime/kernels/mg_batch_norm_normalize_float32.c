#include "mg_batch_norm.h"
#include "mg_math.h"

void mg_batch_norm_normalize_float32(const mg_batch_norm_params *params, const float *x, const float *mean,
                                     const float *variance, float *y) {
    const int32_t channels = params->channels;
    for (int32_t channel = 0; channel < channels; ++channel, ++x, ++y) {
        const float scale = 1.0f / mg_sqrt(variance[channel] + params->epsilon);
        const float offset = mean[channel];
        for (int32_t i = 0; i < params->rows * channels; i += channels) {
            y[i] = (x[i] - offset) * scale;
        }
    }
}
