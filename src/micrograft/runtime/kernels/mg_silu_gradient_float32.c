#include "mg_gated.h"
#include "mg_math.h"

void mg_silu_gradient_float32(const mg_elements_params *params, const float *dy, const float *x, float *dx) {
    for (int32_t i = 0; i < params->size; ++i) {
        const float gate = 1.0f / (1.0f + mg_exp(-x[i]));
        dx[i] = dy[i] * mg_fma(x[i] * gate, 1.0f - gate, gate);
    }
}
