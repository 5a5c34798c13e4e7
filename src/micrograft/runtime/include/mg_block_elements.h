/* Kernels that treat a block (mg_block.h) as a row of elements. They look at all elements before they write one, so
 * that a result may lie where an operand lies, and its shift is what its largest element asks for. */
#ifndef MG_BLOCK_ELEMENTS_H
#define MG_BLOCK_ELEMENTS_H

#include "mg_block.h"
#include "mg_codes.h"
#include "mg_elements.h"

typedef struct {
    int32_t size; /* elements */
    float unit;
} mg_block_real_params;

/* y = codes nearest to x, ties away from zero, by the exponent that the largest needs; subnormals are 0. Reads the
 * bits of x, in integers. */
void mg_block_quantize_int16(const mg_elements_params *params, const float *x, const mg_block_int16 *y);
void mg_block_quantize_int8(const mg_elements_params *params, const float *x, const mg_block_int8 *y);

/* y = x times (unit * 2^exponent), each product rounded to float32. */
void mg_block_dequantize_int16(const mg_block_real_params *params, const mg_block_int16 *x, float *y);
void mg_block_dequantize_int8(const mg_block_real_params *params, const mg_block_int8 *x, float *y);

/* dx = dy where the mask's bit is set, else 0. dx may be dy. */
void mg_block_mask_gradient_int16(const mg_elements_params *params, const int16_t *dy, const uint8_t *mask,
                                  int16_t *dx);
void mg_block_mask_gradient_int8(const mg_elements_params *params, const int8_t *dy, const uint8_t *mask, int8_t *dx);

/* dx: (rows, columns) = dy: (rows, columns), each times the factor that multiplier and shift of its column are
 * in factors: (columns, 2), of which 15 bits are used. dx may be dy. */
void mg_block_rescale_gradient_int16(const mg_rescale_params *params, const mg_block_int16 *dy,
                                     const int32_t *factors, const mg_block_int16 *dx);
void mg_block_rescale_gradient_int8(const mg_rescale_params *params, const mg_block_int8 *dy, const int32_t *factors,
                                    const mg_block_int8 *dx);

typedef struct {
    int32_t size;     /* elements */
    int32_t a[2];     /* the factor of a: multiplier up to 2^15 either way, and shift: multiplier * 2^(shift - 15) */
    int32_t b[2];
} mg_block_add_params;

/* y = a + b, each times its factor. An operand that is 0 all over has no say in the exponent. y may be a or b. */
void mg_block_add_int16(const mg_block_add_params *params, const mg_block_int16 *a, const mg_block_int16 *b,
                        const mg_block_int16 *y);
void mg_block_add_int8(const mg_block_add_params *params, const mg_block_int8 *a, const mg_block_int8 *b,
                       const mg_block_int8 *y);

/* dx = dy * slopes[x + 128], slopes: (256); the unit is left to the compiler. */
void mg_block_lookup_gradient_int16(const mg_lookup_gradient_params *params, const mg_block_int16 *dy, const int8_t *x,
                                    const int16_t *slopes, const mg_block_int16 *dx);
void mg_block_lookup_gradient_int8(const mg_lookup_gradient_params *params, const mg_block_int8 *dy, const int8_t *x,
                                   const int16_t *slopes, const mg_block_int8 *dx);

/* dx = sum of dy * (other - zero), in int64, over the axes along which dx was stretched; the unit is left to the
 * compiler. dx is not dy. */
void mg_block_product_gradient_int16(const mg_product_gradient_params *params, const mg_block_int16 *dy,
                                     const int8_t *other, const mg_block_int16 *dx);
void mg_block_product_gradient_int8(const mg_product_gradient_params *params, const mg_block_int8 *dy,
                                    const int8_t *other, const mg_block_int8 *dx);

#endif
