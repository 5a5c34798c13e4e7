#include "mg_normalization.h"

void mg_normalization_weight_gradient_float32(const mg_normalization_params *params, const float *x,
                                              const float *dy, float *dw) {
    for (int32_t i = 0; i < params->weights; ++i) {
        dw[i] = 0.0f;
    }
    for (int32_t group = 0; group < params->groups; ++group) {
        const mg_moments moments = mg_group_moments(params, x);
        for (int32_t position = 0; position < params->positions; ++position) {
            const int32_t start = position * params->position_stride;
            for (int32_t i = 0; i < params->width; ++i) {
                dw[i] = mg_fma(dy[start + i], (x[start + i] - moments.mean) * moments.scale, dw[i]);
            }
        }
        x += params->group_stride;
        dy += params->group_stride;
        dw += params->weight_stride;
    }
}
