#include "mg_optimizers.h"

void mg_clear_float32(const mg_clear_params *params, float *x) {
    for (int32_t i = 0; i < params->size; ++i) {
        x[i] = 0.0f;
    }
}
