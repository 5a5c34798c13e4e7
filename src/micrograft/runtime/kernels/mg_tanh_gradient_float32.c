#include "mg_activations.h"
#include "mg_math.h"

void mg_tanh_gradient_float32(const mg_elements_params *params, const float *dy, const float *y, float *dx) {
    for (int32_t i = 0; i < params->size; ++i) {
        dx[i] = dy[i] * mg_fma(-y[i], y[i], 1.0f);
    }
}
