#include "mg_math.h"
#include "mg_optimizers.h"

void mg_accumulate_float32(const mg_accumulate_params *params, float *sum, const float *gradient) {
    const float weight = params->weight;
    const int32_t size = params->size;
    int32_t i = 0;
    for (; i + 4 <= size; i += 4, sum += 4, gradient += 4) {
        const float sum0 = mg_fma(weight, gradient[0], sum[0]);
        const float sum1 = mg_fma(weight, gradient[1], sum[1]);
        const float sum2 = mg_fma(weight, gradient[2], sum[2]);
        const float sum3 = mg_fma(weight, gradient[3], sum[3]);
        sum[0] = sum0;
        sum[1] = sum1;
        sum[2] = sum2;
        sum[3] = sum3;
    }
    for (; i < size; ++i, ++sum) {
        *sum = mg_fma(weight, *gradient++, *sum);
    }
}
