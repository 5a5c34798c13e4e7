#include "mg_math.h"
#include "mg_pointwise.h"

void mg_elu_float32(const mg_elu_params *params, const float *x, float *y) {
    for (int32_t i = 0; i < params->size; ++i) {
        y[i] = x[i] > 0.0f ? x[i] : params->alpha * (mg_exp(x[i]) - 1.0f);
    }
}
