#include "mg_choice.h"

void mg_share_gradient_float32(const mg_elements_params *params, const float *dy, const uint8_t *own,
                               const uint8_t *other, float *dx) {
    for (int32_t i = 0; i < params->size; ++i) {
        dx[i] = !mg_get_bit(own, i) ? 0.0f : mg_get_bit(other, i) ? 0.5f * dy[i] : dy[i];
    }
}
