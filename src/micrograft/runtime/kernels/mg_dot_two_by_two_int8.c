#include "mg_dot_int8.h"

void mg_dot_two_by_two_int8(const int8_t *x, int32_t zero, const int8_t *weight, int32_t length, mg_four_sums *sums) {
    int32_t a = sums->a, b = sums->b, c = sums->c, d = sums->d;
    int32_t left = length;
#if MG_DSP
    /* Four products for each lane; the weights first, then one row of x after the other, which takes few registers. */
    const mg_pair less = mg_twice(-zero);
    const int8_t *const quads = x + (length & ~3);
    for (; x < quads; x += 4, weight += 4) {
        const mg_quad first = mg_load_quad(weight), second = mg_load_quad(weight + length);
        const mg_pair even = mg_even(first), odd = mg_odd(first);
        const mg_pair other_even = mg_even(second), other_odd = mg_odd(second);
        mg_quad codes = mg_load_quad(x);
        mg_pair pair = mg_even_codes(less, codes);
        a = mg_add_products(pair, even, a);
        b = mg_add_products(pair, other_even, b);
        pair = mg_odd_codes(less, codes);
        a = mg_add_products(pair, odd, a);
        b = mg_add_products(pair, other_odd, b);
        codes = mg_load_quad(x + length);
        pair = mg_even_codes(less, codes);
        c = mg_add_products(pair, even, c);
        d = mg_add_products(pair, other_even, d);
        pair = mg_odd_codes(less, codes);
        c = mg_add_products(pair, odd, c);
        d = mg_add_products(pair, other_odd, d);
    }
    left &= 3;
#endif
    for (; left > 0; --left, ++x, ++weight) {
        const int32_t here = x[0] - zero;
        const int32_t there = x[length] - zero;
        const int32_t first = weight[0];
        const int32_t second = weight[length];
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
