#include "mg_math.h"
#include "mg_resize.h"

/* From a to b by a share of the way. */
static float blend(float a, float b, float share) { return mg_fma(share, b - a, a); }

void mg_resize_linear_float32(const mg_resize_params *params, const float *x, float *y) {
    const int32_t channels = params->channels;
    const int32_t row_size = params->width.input * channels;
    for (int32_t row = 0; row < params->height.output; ++row) {
        const mg_between down = mg_places_between(&params->height, row);
        for (int32_t column = 0; column < params->width.output; ++column) {
            const mg_between along = mg_places_between(&params->width, column);
            const float *above = x + down.first * row_size;
            const float *below = x + down.second * row_size;
            const int32_t left = along.first * channels;
            const int32_t right = along.second * channels;
            for (int32_t i = 0; i < channels; ++i) {
                const float upper = blend(above[left + i], above[right + i], along.share);
                const float lower = blend(below[left + i], below[right + i], along.share);
                *y++ = blend(upper, lower, down.share);
            }
        }
    }
}
