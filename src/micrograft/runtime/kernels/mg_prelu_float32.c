#include "mg_choice.h"

void mg_prelu_float32(const mg_broadcast_params *params, const float *x, const float *slope, float *y, uint8_t *mask) {
    int32_t index[MG_OUTER_AXES] = {0};
    int32_t element = 0;
    for (int32_t row = 0; row < params->rows; ++row) {
        const float *factor = slope;
        for (int32_t column = 0; column < params->columns; ++column, ++element) {
            const float value = x[element];
            if (mask) {
                mg_put_bit(mask, element, value > 0.0f);
            }
            y[element] = value > 0.0f ? value : *factor * value;
            factor += params->b_step;
        }
        slope += params->b_jump[mg_next_row(params->shape, index)];
    }
}
