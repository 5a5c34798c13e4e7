#include "mg_math.h"
#include "mg_optimizers.h"

void mg_square_sum_float32(const mg_square_sum_params *params, const float *gradient, const float *previous,
                           float *y) {
    const int32_t size = params->size;
    float sum0 = 0.0f;
    float sum1 = 0.0f;
    float sum2 = 0.0f;
    float sum3 = 0.0f;
    int32_t i = 0;
    for (; i + 4 <= size; i += 4, gradient += 4) {
        sum0 = mg_fma(gradient[0], gradient[0], sum0);
        sum1 = mg_fma(gradient[1], gradient[1], sum1);
        sum2 = mg_fma(gradient[2], gradient[2], sum2);
        sum3 = mg_fma(gradient[3], gradient[3], sum3);
    }
    for (; i < size; ++i, ++gradient) {
        sum0 = mg_fma(*gradient, *gradient, sum0);
    }
    *y = (previous ? *previous : 0.0f) + ((sum0 + sum1) + (sum2 + sum3));
}
