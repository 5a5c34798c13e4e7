#include "mg_taps_int8.h"

/* The products of one tap. less: the zero point of x, negated; twice for DSP instructions. */
static inline mg_four_sums one_tap(int32_t less, const int8_t *x, const int16_t *weights, mg_four_sums sums) {
#if MG_DSP
    const mg_codes_pairs codes = mg_load_pairs(less, x);
    const mg_pair even = mg_load_column(weights, 0), odd = mg_load_column(weights, 1);
    sums.a = mg_add_lower(codes.even, even, sums.a);
    sums.c = mg_add_upper(codes.even, even, sums.c);
    sums.b = mg_add_lower(codes.odd, odd, sums.b);
    sums.d = mg_add_upper(codes.odd, odd, sums.d);
#else
    sums.a += (x[0] + less) * weights[0];
    sums.b += (x[1] + less) * weights[1];
    sums.c += (x[2] + less) * weights[2];
    sums.d += (x[3] + less) * weights[3];
#endif
    return sums;
}

void mg_taps_four_int8(const mg_taps *taps, const int8_t *x, const int16_t *weights, mg_four_sums *sums) {
#if MG_DSP
    const int32_t less = mg_twice(-taps->zero);
#else
    const int32_t less = -taps->zero;
#endif
    const int32_t step = taps->x_column;
    mg_four_sums all = *sums;
    for (int32_t row = taps->rows; row > 0; --row, x += taps->x_row, weights += taps->weight_row) {
        const int8_t *from = x;
        const int16_t *w = weights;
        for (int32_t left = taps->columns; left > 0; --left, from += step, w += 4) {
            all = one_tap(less, from, w, all);
        }
    }
    *sums = all;
}
