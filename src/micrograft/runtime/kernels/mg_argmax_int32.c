#include "mg_rank.h"

void mg_argmax_int32(const mg_argmax_params *params, const float *x, int32_t *y) {
    for (int32_t row = 0; row < params->rows; ++row, x += params->columns) {
        int32_t winner = 0;
        for (int32_t i = 1; i < params->columns; ++i) {
            if (x[i] > x[winner] || (params->last && x[i] == x[winner])) {
                winner = i;
            }
        }
        *y++ = winner;
    }
}
