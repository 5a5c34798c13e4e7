#include "mg_losses.h"
#include "mg_math.h"

void mg_mean_squared_error_float32(const mg_loss_params *params, const float *y, const float *target, float *loss) {
    float sum = 0.0f;
    for (int32_t i = 0; i < params->size; ++i) {
        const float difference = y[i] - target[i];
        sum = mg_fma(difference, difference, sum);
    }
    *loss = sum / (float)params->size;
}
