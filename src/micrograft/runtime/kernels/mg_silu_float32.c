#include "mg_gated.h"
#include "mg_math.h"

void mg_silu_float32(const mg_elements_params *params, const float *x, float *y) {
    for (int32_t i = 0; i < params->size; ++i) {
        y[i] = x[i] / (1.0f + mg_exp(-x[i])); /* e^-x may be infinite, which gives 0 */
    }
}
