#include "mg_pool_int8.h"

/* The nearest whole number to sum / count, ties to even. */
static int32_t even_mean(int32_t sum, int32_t count) {
    const int32_t twice = 2 * sum + count;
    int32_t nearest = twice / (2 * count);
    const int32_t rest = twice - nearest * 2 * count;
    nearest -= rest < 0;
    return rest == 0 ? nearest & ~(int32_t)1 : nearest;
}

/* What the sum of `count` codes becomes. */
static int8_t code_of(const mg_code_range *range, int32_t sum, int32_t count) {
    if (range->once) {
        return mg_code(range, even_mean(sum - count * range->zero, count));
    }
    return mg_clamped((sum > 0 ? sum + count / 2 : sum - count / 2) / count, range->low, range->high);
}

void mg_average_pool_int8(const mg_average_pool_int8_params *params, const int8_t *x, int8_t *y) {
    const int32_t channels = params->channels;
    const int32_t x_row = params->height.dilation * params->width.input * channels;
    const int32_t x_column = params->width.dilation * channels;
    for (int32_t row = 0; row < params->height.output; ++row) {
        const mg_overlap down = mg_taps_at(&params->height, row);
        for (int32_t column = 0; column < params->width.output; ++column) {
            const mg_overlap along = mg_taps_at(&params->width, column);
            const int8_t *seen = x + (down.other * params->width.input + along.other) * channels;
            const int32_t count = down.count * along.count;
            for (int32_t channel = 0; channel < channels; ++channel, ++seen) {
                const int8_t *from = seen;
                int32_t sum = 0;
                for (int32_t i = down.count; i > 0; --i, from += x_row) {
                    const int8_t *value = from;
                    for (int32_t j = along.count; j > 0; --j, value += x_column) {
                        sum += *value;
                    }
                }
                *y++ = code_of(&params->y, sum, count);
            }
        }
    }
}
