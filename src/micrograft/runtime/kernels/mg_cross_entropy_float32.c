#include "mg_losses.h"
#include "mg_math.h"

void mg_cross_entropy_float32(const mg_cross_entropy_params *params, const float *logits, const int32_t *target,
                              float *loss) {
    const int32_t classes = params->classes;
    float total = 0.0f;
    for (int32_t row = 0; row < params->rows; ++row, logits += classes) {
        float largest = logits[0];
        float sum = 0.0f;
        for (int32_t i = 1; i < classes; ++i) {
            largest = logits[i] > largest ? logits[i] : largest;
        }
        for (int32_t i = 0; i < classes; ++i) {
            sum += mg_exp(logits[i] - largest);
        }
        total += mg_log(sum) - (logits[target[row]] - largest);
    }
    *loss = total / (float)params->rows;
}
