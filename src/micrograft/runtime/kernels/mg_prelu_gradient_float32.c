#include "mg_choice.h"

void mg_prelu_gradient_float32(const mg_broadcast_params *params, const float *dy, const float *slope,
                               const uint8_t *mask, float *dx) {
    int32_t index[MG_OUTER_AXES] = {0};
    int32_t element = 0;
    for (int32_t row = 0; row < params->rows; ++row) {
        const float *factor = slope;
        for (int32_t column = 0; column < params->columns; ++column, ++element) {
            dx[element] = mg_get_bit(mask, element) ? dy[element] : *factor * dy[element];
            factor += params->b_step;
        }
        slope += params->b_jump[mg_next_row(params->shape, index)];
    }
}
