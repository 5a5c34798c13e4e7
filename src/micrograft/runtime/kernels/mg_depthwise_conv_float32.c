#include "mg_conv.h"
#include "mg_four.h"

/* What a window sees of x, and the steps to the next row and tap. */
typedef struct {
    int32_t rows, columns;
    int32_t x_row, x_column, weight_row, weight_column;
} sight;

/* Adds the products of eight neighbouring channels to sum: rows and taps in order. */
static mg_eight eight_channels(const sight *s, const float *x, const float *weight, mg_eight sum) {
    for (int32_t row = s->rows; row > 0; --row, x += s->x_row, weight += s->weight_row) {
        const float *value = x;
        const float *w = weight;
        for (int32_t column = s->columns; column > 0; --column, value += s->x_column, w += s->weight_column) {
            sum = mg_eight_multiply_add(value, w, sum);
        }
    }
    return sum;
}

/* The same for one channel. */
static float one_channel(const sight *s, const float *x, const float *weight, float sum) {
    for (int32_t row = s->rows; row > 0; --row, x += s->x_row, weight += s->weight_row) {
        const float *value = x;
        const float *w = weight;
        for (int32_t column = s->columns; column > 0; --column, value += s->x_column, w += s->weight_column) {
            sum = mg_fma(*value, *w, sum);
        }
    }
    return sum;
}
