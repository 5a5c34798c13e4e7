#include "mg_batch_norm.h"
#include "mg_math.h"

void mg_batch_norm_input_gradient_float32(const mg_batch_norm_params *params, const float *dy, const float *weight,
                                          const float *variance, float *dx) {
    const int32_t channels = params->channels;
    for (int32_t channel = 0; channel < channels; ++channel, ++dy, ++dx) {
        const float factor = weight[channel] * (1.0f / mg_sqrt(variance[channel] + params->epsilon));
        for (int32_t i = 0; i < params->rows * channels; i += channels) {
            dx[i] = dy[i] * factor;
        }
    }
}
