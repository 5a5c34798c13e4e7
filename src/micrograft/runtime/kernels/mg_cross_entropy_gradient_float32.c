#include "mg_losses.h"
#include "mg_math.h"

void mg_cross_entropy_gradient_float32(const mg_cross_entropy_params *params, const float *logits,
                                       const int32_t *target, float *dx) {
    const int32_t classes = params->classes;
    const float share = 1.0f / (float)params->rows;
    for (int32_t row = 0; row < params->rows; ++row, logits += classes, dx += classes) {
        float largest = logits[0];
        float sum = 0.0f;
        for (int32_t i = 1; i < classes; ++i) {
            largest = logits[i] > largest ? logits[i] : largest;
        }
        for (int32_t i = 0; i < classes; ++i) {
            dx[i] = mg_exp(logits[i] - largest);
            sum += dx[i];
        }
        const float factor = share / sum;
        for (int32_t i = 0; i < classes; ++i) {
            dx[i] *= factor;
        }
        dx[target[row]] -= share;
    }
}
