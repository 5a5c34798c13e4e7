#include "mg_math.h"
#include "mg_optimizers.h"

/* Without weight decay, one fused multiply-add per weight, four at a time. */
void mg_sgd_float32(const mg_sgd_params *params, float *weight, const float *gradient, const float *rate,
                    const float *scale) {
    const int32_t size = params->size;
    const float step = scale ? -*rate * *scale : -*rate;
    const float decay = -*rate * params->weight_decay;
    int32_t i = 0;
    if (params->weight_decay != 0.0f) {
        for (; i < size; ++i) {
            weight[i] += mg_fma(decay, weight[i], step * gradient[i]);
        }
        return;
    }
    for (; i + 4 <= size; i += 4, weight += 4, gradient += 4) {
        const float weight0 = mg_fma(step, gradient[0], weight[0]);
        const float weight1 = mg_fma(step, gradient[1], weight[1]);
        const float weight2 = mg_fma(step, gradient[2], weight[2]);
        const float weight3 = mg_fma(step, gradient[3], weight[3]);
        weight[0] = weight0;
        weight[1] = weight1;
        weight[2] = weight2;
        weight[3] = weight3;
    }
    for (; i < size; ++i, ++weight) {
        *weight = mg_fma(step, *gradient++, *weight);
    }
}
