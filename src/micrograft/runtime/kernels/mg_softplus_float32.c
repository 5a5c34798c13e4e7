#include "mg_math.h"
#include "mg_pointwise.h"

/* max(x, 0) + log(1 + e^-|x|) cannot overflow. Far below zero, where 1 + e^x is 1, it is e^x. */
void mg_softplus_float32(const mg_elements_params *params, const float *x, float *y) {
    for (int32_t i = 0; i < params->size; ++i) {
        const float value = x[i];
        const float small = mg_exp(value > 0.0f ? -value : value);
        const float rest = small < 0x1p-12f ? small - 0.5f * small * small : mg_log(1.0f + small);
        y[i] = value > 0.0f ? value + rest : rest;
    }
}
