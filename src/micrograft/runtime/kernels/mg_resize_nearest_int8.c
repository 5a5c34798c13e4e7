#include "mg_resize.h"

void mg_resize_nearest_int8(const mg_resize_params *params, const int8_t *x, int8_t *y) {
    const mg_scaling *const width = &params->width;
    int32_t rest;
    for (int32_t row = 0; row < params->height.output; ++row) {
        const int32_t from = mg_on_axis(&params->height, mg_place_below(&params->height, row, &rest));
        for (int32_t column = 0; column < width->output; ++column) {
            const int32_t place = mg_on_axis(width, mg_place_below(width, column, &rest));
            const int8_t *values = x + (from * width->input + place) * params->channels;
            for (int32_t channel = 0; channel < params->channels; ++channel) {
                *y++ = values[channel];
            }
        }
    }
}
