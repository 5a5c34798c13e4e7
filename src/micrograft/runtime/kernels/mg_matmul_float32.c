#include "mg_matmul.h"

#include "mg_four.h"

/* Four columns at a time share the loads of a. */
static void multiply(const mg_matmul_params *p, const float *a, const float *b, float *y) {
    for (int32_t row = 0; row < p->rows; ++row, a += p->a_row) {
        const float *start = b;
        int32_t column = 0;
        for (; column + 4 <= p->columns; column += 4, start += 4 * p->b_column, y += 4) {
            const float *left = a;
            const float *right = start;
            mg_four sum = mg_four_zero();
            for (int32_t i = 0; i < p->inner; ++i, left += p->a_inner, right += p->b_inner) {
                sum = mg_four_scale_add(*left, mg_four_column(right, p->b_column, 0), sum);
            }
            mg_four_store(sum, y);
        }
        for (; column < p->columns; ++column, start += p->b_column) {
            const float *left = a;
            const float *right = start;
            float sum = 0.0f;
            for (int32_t i = 0; i < p->inner; ++i, left += p->a_inner, right += p->b_inner) {
                sum = mg_fma(*left, *right, sum);
            }
            *y++ = sum;
        }
    }
}

void mg_matmul_float32(const mg_matmul_params *params, const float *a, const float *b, float *y) {
    int32_t index[MG_OUTER_AXES] = {0};
    for (int32_t run = 0; run < params->runs; ++run) {
        for (int32_t i = 0; i < params->run; ++i) {
            multiply(params, a + i * params->a_step, b + i * params->b_step, y);
            y += params->rows * params->columns;
        }
        const int32_t axis = mg_next_row(params->shape, index);
        a += params->a_jump[axis];
        b += params->b_jump[axis];
    }
}
