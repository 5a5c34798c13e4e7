#include "mg_resize.h"

void mg_resize_nearest_gradient_float32(const mg_resize_params *params, const float *dy, float *dx) {
    const mg_scaling *const width = &params->width;
    int32_t rest;
    for (int32_t i = 0; i < params->height.input * width->input * params->channels; ++i) {
        dx[i] = 0.0f;
    }
    for (int32_t row = 0; row < params->height.output; ++row) {
        const int32_t to = mg_on_axis(&params->height, mg_place_below(&params->height, row, &rest));
        for (int32_t column = 0; column < width->output; ++column) {
            const int32_t place = mg_on_axis(width, mg_place_below(width, column, &rest));
            float *sums = dx + (to * width->input + place) * params->channels;
            for (int32_t channel = 0; channel < params->channels; ++channel) {
                sums[channel] += *dy++;
            }
        }
    }
}
