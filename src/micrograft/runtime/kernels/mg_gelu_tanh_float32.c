#include "mg_gated.h"
#include "mg_math.h"

#define ROOT 0.79788456f /* sqrt(2 / pi) */
#define CUBIC 0.044715f

void mg_gelu_tanh_float32(const mg_elements_params *params, const float *x, float *y) {
    for (int32_t i = 0; i < params->size; ++i) {
        const float half = 0.5f * x[i];
        const float inner = ROOT * mg_fma(CUBIC * x[i] * x[i], x[i], x[i]);
        y[i] = mg_fma(half, mg_tanh(inner), half);
    }
}
