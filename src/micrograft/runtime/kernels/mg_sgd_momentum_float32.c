#include "mg_math.h"
#include "mg_optimizers.h"

void mg_sgd_momentum_float32(const mg_sgd_momentum_params *params, float *weight, const float *gradient,
                             const float *rate, float *velocity, const float *scale) {
    const float *const end = weight + params->size;
    const float step = -*rate;
    const float factor = scale ? *scale : 1.0f;
    const float momentum = params->momentum;
    const float decay = params->weight_decay;
    for (; weight < end; ++weight, ++velocity) {
        const float g = mg_fma(decay, *weight, factor * *gradient++);
        const float v = mg_fma(momentum, *velocity, g);
        *velocity = v;
        *weight = mg_fma(step, v, *weight);
    }
}
