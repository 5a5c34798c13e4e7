#include "mg_pad.h"

void mg_pad_axes_int8(const mg_pad_axes_params *params, const int8_t *x, int8_t *y) {
    int32_t index[MG_OUTER_AXES] = {0};
    for (int32_t row = 0; row < params->rows; ++row) {
        const int32_t from = mg_pad_row(params, index);
        for (int32_t column = 0; column < params->columns; ++column) {
            const int32_t place = mg_pad_place(column - params->start, params->size, params->mode);
            *y++ = from < 0 || place < 0 ? (int8_t)params->code : x[from + place];
        }
        index[0] += mg_next_row(params->shape, index) == 0; /* which that counter does not need */
    }
}
