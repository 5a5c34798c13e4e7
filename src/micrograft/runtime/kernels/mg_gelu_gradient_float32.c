#include "mg_gated.h"
#include "mg_math.h"

#define ROOT_HALF 0.70710678f
#define DENSITY 0.39894228f /* 1 / sqrt(2 pi): of the normal distribution at 0 */

void mg_gelu_gradient_float32(const mg_elements_params *params, const float *dy, const float *x, float *dx) {
    for (int32_t i = 0; i < params->size; ++i) {
        const float gate = mg_fma(0.5f, mg_erf(x[i] * ROOT_HALF), 0.5f);
        const float slope = DENSITY * mg_exp(-0.5f * x[i] * x[i]);
        dx[i] = dy[i] * mg_fma(x[i], slope, gate);
    }
}
