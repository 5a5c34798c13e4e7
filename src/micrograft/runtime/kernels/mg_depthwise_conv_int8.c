#include "mg_conv_int8.h"
#include "mg_dot_int8.h"

/* The grid of taps that lie on the input, and the steps between them. */
typedef struct {
    int32_t zero;
#if MG_DSP
    mg_pair less; /* -zero twice */
#endif
    int32_t rows, columns;
    int32_t x_row, x_column, weight_row, weight_column;
} grid;

static int32_t one_channel(const grid *g, const int8_t *x, const int8_t *weight, int32_t sum) {
    for (int32_t row = g->rows; row > 0; --row, x += g->x_row, weight += g->weight_row) {
        const int8_t *from = x;
        const int8_t *w = weight;
        for (int32_t column = g->columns; column > 0; --column, from += g->x_column, w += g->weight_column) {
            sum += (*from - g->zero) * *w;
        }
    }
    return sum;
}

/* Adds, for four neighbouring channels, the products of one tap. */
static inline mg_four_sums one_tap(const grid *g, const int8_t *x, const int8_t *weight, mg_four_sums sums) {
#if MG_DSP
    const mg_codes_pairs codes = mg_load_pairs(g->less, x);
    const mg_codes_pairs weights = mg_load_pairs(0, weight);
    sums.a = mg_add_lower(codes.even, weights.even, sums.a);
    sums.b = mg_add_lower(codes.odd, weights.odd, sums.b);
    sums.c = mg_add_upper(codes.even, weights.even, sums.c);
    sums.d = mg_add_upper(codes.odd, weights.odd, sums.d);
#else
    sums.a += (x[0] - g->zero) * weight[0];
    sums.b += (x[1] - g->zero) * weight[1];
    sums.c += (x[2] - g->zero) * weight[2];
    sums.d += (x[3] - g->zero) * weight[3];
#endif
    return sums;
}

/* Four neighbouring channels, each with a weight of its own. */
static inline mg_four_sums four_channels(const grid *g, const int8_t *x, const int8_t *weight, mg_four_sums sums) {
    for (int32_t row = g->rows; row > 0; --row, x += g->x_row, weight += g->weight_row) {
        const int8_t *from = x;
        const int8_t *w = weight;
        int32_t column = g->columns;
        for (; column >= 2; column -= 2, from += 2 * g->x_column, w += 2 * g->weight_column) {
            sums = one_tap(g, from, w, sums);
            sums = one_tap(g, from + g->x_column, w + g->weight_column, sums);
        }
        if (column > 0) {
            sums = one_tap(g, from, w, sums);
        }
    }
    return sums;
}

/* All outputs at one position. */
static void one_position(const mg_conv_int8_params *params, const grid *g, const int8_t *x, const int8_t *weight,
                         const mg_channels *channels, int8_t *y) {
    const mg_code_range range = params->y; /* copied, as a store of int8 may alias anything */
    const int32_t multiplier = params->out_channels / params->in_channels;
    const int32_t *const bias = channels->bias;
    const int32_t *factor = channels->factors;
    int32_t output = 0;
    for (; multiplier == 1 && output + 4 <= params->out_channels; output += 4, factor += 8, y += 4) {
        const mg_four_sums sums = four_channels(g, x + output, weight + output, mg_four_biases(bias + output));
        mg_codes_of_four(&range, sums, factor, y);
    }
    for (; output < params->out_channels; ++output, factor += 2) {
        const int32_t sum = one_channel(g, x + output / multiplier, weight + output, bias[output]);
        *y++ = mg_code_of_sum(&range, sum, factor);
    }
}

void mg_depthwise_conv_int8(const mg_conv_int8_params *params, const int8_t *x, const int8_t *weight,
                            const mg_channels *channels, int8_t *y) {
    const mg_axis *const width = &params->width;
    grid g;
    g.zero = params->x_zero;
#if MG_DSP
    g.less = mg_twice(-params->x_zero);
#endif
    g.x_row = params->height.dilation * width->input * params->in_channels;
    g.x_column = width->dilation * params->in_channels;
    g.weight_row = width->kernel * params->out_channels;
    g.weight_column = params->out_channels;
    for (int32_t row = 0; row < params->height.output; ++row) {
        const mg_overlap down = mg_taps_at(&params->height, row);
        g.rows = down.count;
        for (int32_t column = 0; column < width->output; ++column, y += params->out_channels) {
            const mg_overlap along = mg_taps_at(width, column);
            const int8_t *from = x + (down.other * width->input + along.other) * params->in_channels;
            const int8_t *w = weight + (down.first * width->kernel + along.first) * params->out_channels;
            g.columns = along.count;
            one_position(params, &g, from, w, channels, y);
        }
    }
}
