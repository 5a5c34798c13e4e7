#include "mg_gated.h"
#include "mg_math.h"

#define ROOT_HALF 0.70710678f

void mg_gelu_float32(const mg_elements_params *params, const float *x, float *y) {
    for (int32_t i = 0; i < params->size; ++i) {
        const float half = 0.5f * x[i];
        y[i] = mg_fma(half, mg_erf(x[i] * ROOT_HALF), half);
    }
}
