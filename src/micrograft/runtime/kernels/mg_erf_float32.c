#include "mg_gated.h"
#include "mg_math.h"

void mg_erf_float32(const mg_elements_params *params, const float *x, float *y) {
    for (int32_t i = 0; i < params->size; ++i) {
        y[i] = mg_erf(x[i]);
    }
}
