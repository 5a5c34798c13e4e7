/* Kernels that treat int8 codes as a row of elements. Rounding: mg_fixed_point.h unless stated. */
#ifndef MG_CODES_H
#define MG_CODES_H

#include "mg_elements.h"
#include "mg_fixed_point.h"
#include "mg_walk.h"

typedef struct {
    int32_t size;      /* elements */
    float scale;       /* real = scale * (code - zero) */
    int32_t zero;
    int32_t low, high; /* the codes lie between these */
} mg_quantize_params;

/* y = the codes nearest to x / scale, ties to even, clamped; a NaN becomes the lower end. */
void mg_quantize_int8(const mg_quantize_params *params, const float *x, int8_t *y);

/* y = scale * (x - zero), rounded once. */
void mg_dequantize_float32(const mg_quantize_params *params, const int8_t *x, float *y);

typedef struct {
    int32_t size; /* elements */
    int32_t x_zero;
    int32_t multiplier, shift;
    mg_code_range y;
} mg_requantize_params;

/* y = codes of another scale. y may be x. */
void mg_requantize_int8(const mg_requantize_params *params, const int8_t *x, int8_t *y);

/* y = table[x + 128]: a function of one code, of which table: (256) has all results. y may be x. */
void mg_lookup_int8(const mg_elements_params *params, const int8_t *x, const int8_t *table, int8_t *y);

typedef struct {
    int32_t size; /* elements */
    float unit;
} mg_lookup_gradient_params;

/* dx = dy * (slopes[x + 128] * unit), slopes: (256), each product rounded to float32. dx may be dy. */
void mg_lookup_gradient_float32(const mg_lookup_gradient_params *params, const float *dy, const int8_t *x,
                                const int16_t *slopes, float *dx);

typedef struct {
    int32_t size; /* elements */
    int32_t low, high;
} mg_code_mask_params;

/* mask: one bit per code, lowest first, set where low < code < high. */
void mg_code_mask_int8(const mg_code_mask_params *params, const int8_t *codes, uint8_t *mask);

typedef struct {
    int32_t rows;
    int32_t columns;              /* elements of a row */
    int32_t shape[MG_OUTER_AXES]; /* of the axes outside a row */
    int32_t a_step;               /* elements from one to the next in a row: 0 where stretched */
    int32_t b_step;
    int32_t a_jump[MG_OUTER_AXES]; /* elements from row to row, where axis i advances */
    int32_t b_jump[MG_OUTER_AXES];
    int32_t a_zero;
    int32_t a_factor[2]; /* multiplier and shift */
    int32_t b_zero;
    int32_t b_factor[2];
    int32_t b_sign; /* 1 or -1 */
    int32_t sum_factor[2];
    mg_code_range y;
} mg_add_int8_params;

/* y = a + b or a - b: both, shifted left by 20 bits, are brought to one scale, and their int32 sum to that of y.
 * y may be whichever of a, b is not stretched. */
void mg_add_int8(const mg_add_int8_params *params, const int8_t *a, const int8_t *b, int8_t *y);

typedef struct {
    int32_t rows;
    int32_t columns;
    int32_t shape[MG_OUTER_AXES];
    int32_t a_step;
    int32_t b_step;
    int32_t a_jump[MG_OUTER_AXES];
    int32_t b_jump[MG_OUTER_AXES];
    int32_t a_zero;
    int32_t b_zero;
    int32_t factor[2]; /* multiplier and shift */
    mg_code_range y;
} mg_mul_int8_params;

/* y = a * b: the exact product, brought to the scale of y. y may be whichever of a, b is not stretched. */
void mg_mul_int8(const mg_mul_int8_params *params, const int8_t *a, const int8_t *b, int8_t *y);

/* How dx is walked (rows, columns, shape), and for each of its elements what is summed. */
typedef struct {
    int32_t rows;
    int32_t columns;
    int32_t shape[MG_OUTER_AXES];
    int32_t dy_step;
    int32_t other_step;
    int32_t dy_jump[MG_OUTER_AXES];
    int32_t other_jump[MG_OUTER_AXES];
    int32_t sum_rows;
    int32_t sum_columns;
    int32_t sum_shape[MG_OUTER_AXES];
    int32_t dy_sum_step;
    int32_t other_sum_step;
    int32_t dy_sum_jump[MG_OUTER_AXES];
    int32_t other_sum_jump[MG_OUTER_AXES];
    int32_t zero; /* of other */
    float unit;
} mg_product_gradient_params;

/* dx = unit * sum of dy * (other - zero) over the axes along which dx was stretched; in their order, by fused
 * multiply-add. dx is not dy. */
void mg_product_gradient_float32(const mg_product_gradient_params *params, const float *dy, const int8_t *other,
                                 float *dx);

typedef struct {
    int32_t size; /* elements */
    int32_t zero; /* of all three */
} mg_wrapping_params;

/* The code that is `sum` modulo 256. The conversion back from uint8_t is written out: C99 leaves it to the compiler. */
static inline int8_t mg_wrapped(uint32_t sum) {
    return (int8_t)((int32_t)((sum + 128u) & 255u) - 128);
}

/* y = a + b - zero, modulo 256: no rounding, no saturation. y may be a or b. */
void mg_wrapping_add_int8(const mg_wrapping_params *params, const int8_t *a, const int8_t *b, int8_t *y);

/* y = a - b + zero, modulo 256: gives back a of y = a + b - zero, every bit. y may be a or b. */
void mg_wrapping_sub_int8(const mg_wrapping_params *params, const int8_t *a, const int8_t *b, int8_t *y);

typedef struct {
    int32_t rows;
    int32_t columns; /* channels */
} mg_rescale_params;

/* dx: (rows, columns) = dy: (rows, columns), each times the factor that multiplier and shift of its column are
 * in factors: (columns, 2). One float32 rounding for the factor and one for the product. dx may be dy. */
void mg_rescale_gradient_float32(const mg_rescale_params *params, const float *dy, const int32_t *factors, float *dx);

#endif
