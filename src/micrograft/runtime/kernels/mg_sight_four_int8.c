#include "mg_sight_int8.h"

void mg_sight_four_int8(const mg_sight *s, const int8_t *weight, mg_four_sums *sums) {
    mg_four_sums all = *sums;
    const int8_t *from = s->x;
    for (int32_t row = s->rows; row > 0; --row, from += s->x_row, weight += s->weight_row) {
        const int8_t *x = from;
        const int8_t *w = weight;
        for (int32_t run = s->runs; run > 0; --run, x += s->x_run, w += s->weight_run) {
            all = mg_dot_four_int8(x, s->zero, w, s->weight_output, s->length, all);
        }
    }
    *sums = all;
}
