/* Scaled dot-product attention, one query at a time: no matrix of queries by keys exists anywhere, and the backward
 * pass works out the probabilities again. float32 sums run in the order that the code states, by fused multiply-add. */
#ifndef MG_ATTENTION_H
#define MG_ATTENTION_H

#include "mg_four.h"

typedef struct {
    int32_t rows; /* queries */
    int32_t keys;
    int32_t heads;
    int32_t sharing;     /* heads of queries to one of keys and values */
    int32_t width;       /* of a head of q or k */
    int32_t value_width; /* of a head of v or y */
    int32_t q_start;     /* where the three start in a tensor that has them all: the gradient's only */
    int32_t k_start;
    int32_t v_start;
    int32_t q_stride; /* elements from row to row */
    int32_t k_stride;
    int32_t v_stride;
    int32_t size;        /* elements of the tensor that has them all */
    int32_t mask_stride; /* elements of the mask from head to head, 0 where all heads share it */
    int32_t causal;      /* whether query i reads keys 0 .. i only */
    float scale;
} mg_attention_params;

/* y: (rows, heads, value_width) = for each query and head the mean of v, weighted by softmax(scale * q k + mask).
 * mask: (heads or 1, rows, keys), added to the scores, or null. */
void mg_attention_float32(const mg_attention_params *params, const float *q, const float *k, const float *v,
                          const float *mask, float *y);

/* dqkv, which lies as qkv does, from dy. scratch: 2 * keys floats. */
void mg_attention_gradient_float32(const mg_attention_params *params, const float *qkv, const float *dy,
                                   const float *mask, float *dqkv, float *scratch);

/* products: (count) = x . row, for rows `stride` apart. */
static inline void mg_attention_products(const float *x, const float *rows, int32_t stride, int32_t width,
                                         int32_t count, float *products) {
    for (; count >= 4; count -= 4, rows += 4 * stride, products += 4) {
        mg_four_store(mg_four_dot(x, rows, stride, width, mg_four_zero()), products);
    }
    for (; count > 0; --count, rows += stride) {
        float sum = 0.0f;
        for (int32_t i = 0; i < width; ++i) {
            sum = mg_fma(x[i], rows[i], sum);
        }
        *products++ = sum;
    }
}

/* scores: (count) = scale * q . k + mask; the largest of them and `largest`. */
static inline float mg_attention_scores(const mg_attention_params *p, const float *q, const float *k,
                                        const float *mask, int32_t count, float *scores, float largest) {
    mg_attention_products(q, k, p->k_stride, p->width, count, scores);
    for (int32_t i = 0; i < count; ++i) {
        const float score = mask ? mg_fma(scores[i], p->scale, mask[i]) : scores[i] * p->scale;
        scores[i] = score;
        largest = score > largest ? score : largest;
    }
    return largest;
}

/* y: (width) = shrink * y, or nothing where `fresh`, plus each of `count` rows times its factor. */
static inline void mg_attention_combine(const float *factors, const float *rows, int32_t stride, int32_t count,
                                        int32_t width, int32_t fresh, float shrink, float *y) {
    int32_t i = 0;
    for (; i + 4 <= width; i += 4) {
        const mg_four start = fresh ? mg_four_zero() : mg_four_scale_add(shrink, mg_four_load(y + i), mg_four_zero());
        mg_four_store(mg_four_combine(factors, rows + i, stride, count, start), y + i);
    }
    for (; i < width; ++i) {
        float sum = fresh ? 0.0f : shrink * y[i];
        for (int32_t j = 0; j < count; ++j) {
            sum = mg_fma(factors[j], rows[j * stride + i], sum);
        }
        y[i] = sum;
    }
}

#define MG_ATTENTION_LOWEST -3.4028235e38f /* below every score */

#endif
