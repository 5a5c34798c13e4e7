#include "mg_math.h"
#include "mg_resize.h"

void mg_resize_linear_gradient_float32(const mg_resize_params *params, const float *dy, float *dx) {
    const int32_t channels = params->channels;
    const int32_t row_size = params->width.input * channels;
    for (int32_t i = 0; i < params->height.input * row_size; ++i) {
        dx[i] = 0.0f;
    }
    for (int32_t row = 0; row < params->height.output; ++row) {
        const mg_between down = mg_places_between(&params->height, row);
        float *above = dx + down.first * row_size;
        float *below = dx + down.second * row_size;
        for (int32_t column = 0; column < params->width.output; ++column) {
            const mg_between along = mg_places_between(&params->width, column);
            const int32_t left = along.first * channels;
            const int32_t right = along.second * channels;
            for (int32_t i = 0; i < channels; ++i) {
                const float lower = down.share * *dy;
                const float upper = *dy++ - lower;
                const float upper_right = along.share * upper;
                const float lower_right = along.share * lower;
                above[left + i] += upper - upper_right;
                above[right + i] += upper_right;
                below[left + i] += lower - lower_right;
                below[right + i] += lower_right;
            }
        }
    }
}
