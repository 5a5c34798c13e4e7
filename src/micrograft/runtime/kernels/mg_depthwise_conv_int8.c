#include "mg_conv_int8.h"
#include "mg_taps_int8.h"

/* The window's taps that lie on the input, seen from one position. */
typedef struct {
    mg_overlap down, along;
} window;

/* Four neighbouring channels at all positions. The weights, (kernel height, kernel width, 4), are those of mg_put_tap. */
static void four_channels(const mg_conv_int8_params *params, const int8_t *x, const int16_t *weights,
                          const int32_t *bias, const int32_t *factors, int8_t *y) {
    const mg_axis *const width = &params->width;
    const mg_code_range range = params->y; /* copied, as a store of int8 may alias anything; so are the factors */
    const int32_t own[8] = {factors[0], factors[1], factors[2], factors[3],
                            factors[4], factors[5], factors[6], factors[7]};
    const int32_t channels = params->in_channels, x_row = width->input * channels;
    mg_taps taps = {params->x_zero, 0, 0, params->height.dilation * x_row, width->dilation * channels, 4 * width->kernel};
    for (int32_t row = 0; row < params->height.output; ++row) {
        const mg_overlap down = mg_taps_at(&params->height, row);
        const int8_t *const from = x + down.other * x_row;
        const int16_t *const w = weights + 4 * down.first * width->kernel;
        taps.rows = down.count;
        for (int32_t column = 0; column < width->output; ++column, y += channels) {
            const mg_overlap along = mg_taps_at(width, column);
            mg_four_sums sums = mg_four_biases(bias);
            taps.columns = along.count;
            mg_taps_four_int8(&taps, from + along.other * channels, w + 4 * along.first, &sums);
            mg_codes_of_four(&range, sums, own, y);
        }
    }
}

/* One output of one channel. */
static int32_t one_output(const mg_conv_int8_params *params, const window *at, const int8_t *x, const int8_t *weight) {
    const mg_axis *const width = &params->width;
    int32_t sum = 0;
    for (int32_t row = 0; row < at->down.count; ++row) {
        const int32_t place = (at->down.other + row * params->height.dilation) * width->input + at->along.other;
        const int32_t tap = (at->down.first + row) * width->kernel + at->along.first;
        const int8_t *from = x + place * params->in_channels;
        const int8_t *w = weight + tap * params->out_channels;
        for (int32_t column = at->along.count; column > 0; --column, w += params->out_channels) {
            sum += (*from - params->x_zero) * *w;
            from += width->dilation * params->in_channels;
        }
    }
    return sum;
}

/* One channel at all positions. */
static void one_channel(const mg_conv_int8_params *params, const int8_t *x, const int8_t *weight, int32_t bias,
                        const int32_t *factor, int8_t *y) {
    window at;
    for (int32_t row = 0; row < params->height.output; ++row) {
        at.down = mg_taps_at(&params->height, row);
        for (int32_t column = 0; column < params->width.output; ++column, y += params->out_channels) {
            at.along = mg_taps_at(&params->width, column);
            *y = mg_code_of_sum(&params->y, bias + one_output(params, &at, x, weight), factor);
        }
    }
}

void mg_depthwise_conv_int8(const mg_conv_int8_params *params, const int8_t *x, const int8_t *weight,
                            const mg_channels *channels, int16_t *four, int8_t *y) {
    const int32_t outputs = params->out_channels, multiplier = outputs / params->in_channels;
    const int32_t taps = params->height.kernel * params->width.kernel;
    const int32_t *const bias = channels->bias, *const factors = channels->factors;
    int32_t output = 0;
    for (; multiplier == 1 && output + 4 <= outputs; output += 4) {
        for (int32_t tap = 0; tap < taps; ++tap) {
            mg_put_tap(four + 4 * tap, weight + tap * outputs + output);
        }
        four_channels(params, x + output, four, bias + output, factors + 2 * output, y + output);
    }
    for (; output < outputs; ++output) {
        one_channel(params, x + output / multiplier, weight + output, bias[output], factors + 2 * output, y + output);
    }
}
