#include "mg_pad.h"

void mg_pad_axes_gradient_float32(const mg_pad_axes_params *params, const float *dy, float *dx) {
    int32_t index[MG_OUTER_AXES] = {0};
    int32_t size = params->size;
    for (int32_t axis = 0; axis < MG_OUTER_AXES; ++axis) {
        size *= params->sizes[axis];
    }
    for (int32_t i = 0; i < size; ++i) {
        dx[i] = 0.0f;
    }
    for (int32_t row = 0; row < params->rows; ++row, dy += params->columns) {
        const int32_t to = mg_pad_row(params, index);
        for (int32_t column = 0; column < params->columns && to >= 0; ++column) {
            const int32_t place = mg_pad_place(column - params->start, params->size, params->mode);
            if (place >= 0) {
                dx[to + place] += dy[column];
            }
        }
        index[0] += mg_next_row(params->shape, index) == 0; /* which that counter does not need */
    }
}
