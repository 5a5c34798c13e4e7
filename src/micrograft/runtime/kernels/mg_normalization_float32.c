#include "mg_normalization.h"

void mg_normalization_float32(const mg_normalization_params *params, const float *x, const float *weight,
                              const float *bias, float *y) {
    for (int32_t group = 0; group < params->groups; ++group) {
        const mg_moments moments = mg_group_moments(params, x);
        for (int32_t position = 0; position < params->positions; ++position) {
            const float *from = x + position * params->position_stride;
            float *to = y + position * params->position_stride;
            for (int32_t i = 0; i < params->width; ++i) {
                const float value = (from[i] - moments.mean) * moments.scale;
                to[i] = mg_fma(value, weight ? weight[i] : 1.0f, bias ? bias[i] : 0.0f);
            }
        }
        x += params->group_stride;
        y += params->group_stride;
        weight = weight ? weight + params->weight_stride : weight;
        bias = bias ? bias + params->weight_stride : bias;
    }
}
