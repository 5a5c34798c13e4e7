#include "mg_attention.h"

enum { BLOCK = 16 }; /* keys that are weighed against one another at a time */

/* One query and head. The mean so far is shrunk whenever a block of keys has a larger score (arXiv:1805.02867). */
static void attend(const mg_attention_params *p, const float *q, const float *k, const float *v, const float *mask,
                   int32_t keys, float *y) {
    float weights[BLOCK];
    float largest = MG_ATTENTION_LOWEST;
    float sum = 0.0f;
    for (int32_t start = 0; start < keys; start += BLOCK) {
        const int32_t count = keys - start < BLOCK ? keys - start : BLOCK;
        const float before = largest;
        largest = mg_attention_scores(p, q, k, mask, count, weights, before);
        const float shrink = start ? mg_exp(before - largest) : 0.0f;
        sum *= shrink;
        for (int32_t i = 0; i < count; ++i) {
            weights[i] = mg_exp(weights[i] - largest);
            sum += weights[i];
        }
        mg_attention_combine(weights, v, p->v_stride, count, p->value_width, start == 0, shrink, y);
        k += count * p->k_stride;
        v += count * p->v_stride;
        mask = mask ? mask + count : mask;
    }
    const float factor = 1.0f / sum;
    for (int32_t i = 0; i < p->value_width; ++i) {
        y[i] *= factor;
    }
}

void mg_attention_float32(const mg_attention_params *params, const float *q, const float *k, const float *v,
                          const float *mask, float *y) {
    for (int32_t row = 0; row < params->rows; ++row, q += params->q_stride) {
        const int32_t keys = params->causal && row + 1 < params->keys ? row + 1 : params->keys;
        for (int32_t head = 0; head < params->heads; ++head, y += params->value_width) {
            const int32_t shared = head / params->sharing;
            const float *hidden = mask ? mask + head * params->mask_stride + row * params->keys : mask;
            attend(params, q + head * params->width, k + shared * params->width, v + shared * params->value_width,
                   hidden, keys, y);
        }
    }
}
