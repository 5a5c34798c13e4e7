#include "mg_normalization.h"

/* With g = dy * weight and n the normalised x: dx = scale * (g - mean of g - n * mean of g * n) in each group,
 * without the mean of g where the mean of x was not taken off. */
void mg_normalization_input_gradient_float32(const mg_normalization_params *params, const float *x,
                                             const float *dy, const float *weight, float *dx) {
    const float share = 1.0f / (float)(params->positions * params->width);
    for (int32_t group = 0; group < params->groups; ++group) {
        const mg_moments moments = mg_group_moments(params, x);
        float sum = 0.0f;
        float product = 0.0f;
        for (int32_t position = 0; position < params->positions; ++position) {
            const int32_t start = position * params->position_stride;
            for (int32_t i = 0; i < params->width; ++i) {
                const float g = weight ? dy[start + i] * weight[i] : dy[start + i];
                sum += g;
                product = mg_fma(g, (x[start + i] - moments.mean) * moments.scale, product);
            }
        }
        sum = params->centers ? sum * share : 0.0f;
        product *= share;
        for (int32_t position = 0; position < params->positions; ++position) {
            const int32_t start = position * params->position_stride;
            for (int32_t i = 0; i < params->width; ++i) {
                const float g = weight ? dy[start + i] * weight[i] : dy[start + i];
                const float value = (x[start + i] - moments.mean) * moments.scale;
                dx[start + i] = mg_fma(-value, product, g - sum) * moments.scale;
            }
        }
        x += params->group_stride;
        dy += params->group_stride;
        dx += params->group_stride;
        weight = weight ? weight + params->weight_stride : weight;
    }
}
