/* Softmax of int8 codes, in the fixed-point arithmetic of gemmlowp: the bits of TensorFlow Lite's reference kernel. */
#ifndef MG_SOFTMAX_INT8_H
#define MG_SOFTMAX_INT8_H

#include <stdint.h>

typedef struct {
    int32_t rows;
    int32_t columns;
    int32_t multiplier, left; /* take a difference of codes to a fixed point of 26 fractional bits */
    int32_t smallest;         /* differences to the largest input below this count as an exponential of 0 */
} mg_softmax_int8_params;

/* y: (rows, columns), codes of 1/256 with zero point -128. y may be x. */
void mg_softmax_int8(const mg_softmax_int8_params *params, const int8_t *x, int8_t *y);

#endif
