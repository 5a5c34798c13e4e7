#include "mg_pool_int8.h"

void mg_mean_int8(const mg_mean_int8_params *params, const int8_t *x, int8_t *y) {
    const mg_code_range *const range = &params->y;
    const int32_t channels = params->channels;
    const int32_t factor[2] = {params->multiplier, params->shift};
    for (int32_t channel = 0; channel < channels; ++channel) {
        int32_t sum = 0;
        for (int32_t position = 0; position < params->positions; ++position) {
            sum += x[position * channels + channel] - params->x_zero;
        }
        y[channel] = mg_code_of_sum(range, sum, factor);
    }
}
