#include "mg_math.h"
#include "mg_pointwise.h"

void mg_abs_float32(const mg_elements_params *params, const float *x, float *y) {
    for (int32_t i = 0; i < params->size; ++i) {
        y[i] = mg_from_bits(mg_bits(x[i]) & UINT32_C(0x7FFFFFFF));
    }
}
