#include "mg_gated.h"
#include "mg_math.h"

#define SLOPE 1.1283792f /* 2 / sqrt(pi): at 0 */

void mg_erf_gradient_float32(const mg_elements_params *params, const float *dy, const float *x, float *dx) {
    for (int32_t i = 0; i < params->size; ++i) {
        dx[i] = dy[i] * SLOPE * mg_exp(-x[i] * x[i]);
    }
}
