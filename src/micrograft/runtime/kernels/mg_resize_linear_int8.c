#include "mg_resize.h"

/* The two places around a position of an axis, and their shares of its parts. */
typedef struct {
    int32_t first, second;
    int32_t first_share, second_share;
} pair;

static pair around(const mg_scaling *axis, int32_t position) {
    pair found;
    const int32_t place = mg_place_below(axis, position, &found.second_share);
    found.first_share = axis->parts - found.second_share;
    found.first = mg_on_axis(axis, place);
    found.second = mg_on_axis(axis, place + 1);
    return found;
}

/* The code of a sum of codes times shares. */
static int8_t mean(const mg_resize_int8_params *params, int32_t shares, int32_t sum) {
    if (!params->y.once) {
        return (int8_t)mg_divided(sum, 20);
    }
    return mg_code(&params->y, mg_rescaled_once(sum - params->y.zero * shares, params->multiplier, params->shift));
}

void mg_resize_linear_int8(const mg_resize_int8_params *params, const int8_t *x, int8_t *y) {
    const mg_scaling *const width = &params->width;
    const int32_t channels = params->channels;
    const int32_t shares = params->height.parts * width->parts;
    for (int32_t row = 0; row < params->height.output; ++row) {
        const pair down = around(&params->height, row);
        const int8_t *const upper = x + down.first * width->input * channels;
        const int8_t *const lower = x + down.second * width->input * channels;
        for (int32_t column = 0; column < width->output; ++column) {
            const pair along = around(width, column);
            for (int32_t channel = 0; channel < channels; ++channel) {
                const int32_t left = along.first * channels + channel;
                const int32_t right = along.second * channels + channel;
                const int32_t above = upper[left] * along.first_share + upper[right] * along.second_share;
                const int32_t below = lower[left] * along.first_share + lower[right] * along.second_share;
                *y++ = mean(params, shares, above * down.first_share + below * down.second_share);
            }
        }
    }
}
