#include "mg_math.h"
#include "mg_optimizers.h"

void mg_adam_float32(const mg_adam_params *params, float *weight, const float *gradient, const float *rate,
                     float *moments, const float *scale) {
    const float *const end = weight + params->size;
    float *squares = moments + params->size;
    const float factor = scale ? *scale : 1.0f;
    const float step = -rate[0];
    const float root_factor = rate[1];
    const float rest1 = params->rest1;
    const float rest2 = params->rest2;
    const float epsilon = params->epsilon;
    const float coupled = params->decoupled ? 0.0f : params->weight_decay;
    const float decay = params->decoupled ? -rate[2] * params->weight_decay : 0.0f;
    for (; weight < end; ++weight, ++moments, ++squares) {
        const float w = *weight;
        const float g = mg_fma(coupled, w, factor * *gradient++);
        const float m = mg_fma(rest1, g - *moments, *moments);
        const float v = mg_fma(rest2, mg_fma(g, g, -*squares), *squares);
        *moments = m;
        *squares = v;
        *weight = mg_fma(decay, w, w) + step * m / mg_fma(mg_sqrt(v), root_factor, epsilon);
    }
}
