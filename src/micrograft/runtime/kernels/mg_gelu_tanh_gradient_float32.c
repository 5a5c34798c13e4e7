#include "mg_gated.h"
#include "mg_math.h"

#define ROOT 0.79788456f /* sqrt(2 / pi) */
#define CUBIC 0.044715f

void mg_gelu_tanh_gradient_float32(const mg_elements_params *params, const float *dy, const float *x, float *dx) {
    for (int32_t i = 0; i < params->size; ++i) {
        const float square = x[i] * x[i];
        const float t = mg_tanh(ROOT * mg_fma(CUBIC * square, x[i], x[i]));
        const float slope = 0.5f * ROOT * mg_fma(3.0f * CUBIC, square, 1.0f) * mg_fma(-t, t, 1.0f);
        dx[i] = dy[i] * mg_fma(x[i], slope, mg_fma(0.5f, t, 0.5f));
    }
}
