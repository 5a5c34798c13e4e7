#include "mg_optimizers.h"

void mg_clear_int16(const mg_clear_params *params, int16_t *x) {
    for (int32_t i = 0; i < params->size; ++i) {
        x[i] = 0;
    }
}
