#include "mg_columns_int8.h"

void mg_dot_columns_int8(const int16_t *columns, const int8_t *weight, int32_t step, int32_t length, mg_four_sums *sums) {
    int32_t left = length;
    int32_t a = sums->a, b = sums->b, c = sums->c, d = sums->d;
#if MG_DSP
    for (; left >= 4; left -= 4, weight += 4, columns += 8) {
        const mg_quad first = mg_load_quad(weight), second = mg_load_quad(weight + step);
        const mg_pair even = mg_even(first), odd = mg_odd(first);
        const mg_pair other_even = mg_even(second), other_odd = mg_odd(second);
        a = mg_add_products(mg_load_column(columns, 0), even, a);
        b = mg_add_products(mg_load_column(columns, 0), other_even, b);
        a = mg_add_products(mg_load_column(columns, 1), odd, a);
        b = mg_add_products(mg_load_column(columns, 1), other_odd, b);
        c = mg_add_products(mg_load_column(columns, 2), even, c);
        d = mg_add_products(mg_load_column(columns, 2), other_even, d);
        c = mg_add_products(mg_load_column(columns, 3), odd, c);
        d = mg_add_products(mg_load_column(columns, 3), other_odd, d);
    }
#endif
    for (int32_t i = 0; i < left; ++i, ++weight) {
        const int32_t here = columns[mg_column_place(i, 0)], there = columns[mg_column_place(i, 1)];
        const int32_t first = weight[0], second = weight[step];
        a += here * first;
        b += here * second;
        c += there * first;
        d += there * second;
    }
    sums->a = a;
    sums->b = b;
    sums->c = c;
    sums->d = d;
}
