#include "mg_activations.h"
#include "mg_math.h"

void mg_tanh_float32(const mg_elements_params *params, const float *x, float *y) {
    for (int32_t i = 0; i < params->size; ++i) {
        y[i] = mg_tanh(x[i]);
    }
}
