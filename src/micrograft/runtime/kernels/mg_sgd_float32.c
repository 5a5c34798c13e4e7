#include "mg_optimizers.h"

#include "mg_math.h"

/* Four weights at a time; without weight decay, one fused multiply-add each. */
void mg_sgd_float32(const mg_sgd_params *params, float *weight, const float *gradient, const float *rate,
                    const float *scale) {
    const float *const end = weight + params->size;
    const float step = scale ? -*rate * *scale : -*rate;
    const float decay = -*rate * params->weight_decay;
    if (params->weight_decay != 0.0f) {
        for (; weight < end; ++weight) {
            *weight += mg_fma(decay, *weight, step * *gradient++);
        }
        return;
    }
    for (const float *const last = end - params->size % 4; weight < last; weight += 4, gradient += 4) {
        const float w0 = mg_fma(step, gradient[0], weight[0]);
        const float w1 = mg_fma(step, gradient[1], weight[1]);
        const float w2 = mg_fma(step, gradient[2], weight[2]);
        const float w3 = mg_fma(step, gradient[3], weight[3]);
        weight[0] = w0;
        weight[1] = w1;
        weight[2] = w2;
        weight[3] = w3;
    }
    for (; weight < end; ++weight) {
        *weight = mg_fma(step, *gradient++, *weight);
    }
}
