#include "mg_math.h"
#include "mg_pointwise.h"

void mg_softplus_gradient_float32(const mg_elements_params *params, const float *dy, const float *y, float *dx) {
    for (int32_t i = 0; i < params->size; ++i) {
        const float value = y[i]; /* 1 - e^-y cancels near zero, where it is y - y^2 / 2 */
        dx[i] = dy[i] * (value < 0x1p-12f ? value - 0.5f * value * value : 1.0f - mg_exp(-value));
    }
}
