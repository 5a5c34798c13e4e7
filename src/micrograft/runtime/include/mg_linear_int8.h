/* A dense layer on int8 codes, and a 1x1 convolution over its positions. Sums are int32. Rounding: mg_fixed_point.h. */
#ifndef MG_LINEAR_INT8_H
#define MG_LINEAR_INT8_H

#include "mg_fixed_point.h"

typedef struct {
    int32_t rows;    /* vectors in x and y */
    int32_t inputs;  /* length of a vector of x */
    int32_t outputs; /* length of a vector of y */
    int32_t x_zero;  /* the code of x that means 0 */
    mg_code_range y;
} mg_linear_int8_params;

/* y: (rows, outputs) from x: (rows, inputs) and weight: (outputs, inputs). columns: room for 2 * inputs int16, inputs
 * rounded up to fours. */
void mg_linear_int8(const mg_linear_int8_params *params, const int8_t *x, const int8_t *weight,
                    const mg_channels *channels, int16_t *columns, int8_t *y);

#endif
