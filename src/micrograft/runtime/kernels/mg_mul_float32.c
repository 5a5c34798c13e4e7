#include "mg_arithmetic.h"

void mg_mul_float32(const mg_broadcast_params *params, const float *a, const float *b, float *y) {
    const int32_t columns = params->columns;
    const int32_t a_step = params->a_step;
    const int32_t b_step = params->b_step;
    int32_t index[MG_OUTER_AXES] = {0};
    for (int32_t row = 0; row < params->rows; ++row) {
        const float *left = a;
        const float *right = b;
        int32_t column = 0;
        if (a_step == 1 && b_step == 1) {
            for (; column + 4 <= columns; column += 4) {
                const float y0 = left[0] * right[0];
                const float y1 = left[1] * right[1];
                const float y2 = left[2] * right[2];
                const float y3 = left[3] * right[3];
                y[0] = y0;
                y[1] = y1;
                y[2] = y2;
                y[3] = y3;
                left += 4;
                right += 4;
                y += 4;
            }
        }
        for (; column < columns; ++column) {
            *y++ = *left * *right;
            left += a_step;
            right += b_step;
        }
        const int32_t axis = mg_next_row(params->shape, index);
        a += params->a_jump[axis];
        b += params->b_jump[axis];
    }
}
