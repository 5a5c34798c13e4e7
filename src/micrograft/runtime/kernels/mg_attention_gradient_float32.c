#include "mg_attention.h"

/* The rows of one query and head: what is read, and the gradients to be added to. */
typedef struct {
    const float *q, *k, *v, *mask, *dy;
    float *dq, *dk, *dv;
} rows;

/* Adds to each of `count` rows of y, `stride` apart, x times the row's factor. */
static void spread(const float *factors, const float *x, int32_t width, int32_t count, int32_t stride, float *y) {
    for (; count > 0; --count, y += stride) {
        const float factor = *factors++;
        int32_t i = 0;
        for (; i + 4 <= width; i += 4) {
            mg_four_store(mg_four_scale_add(factor, mg_four_load(x + i), mg_four_load(y + i)), y + i);
        }
        for (; i < width; ++i) {
            y[i] = mg_fma(factor, x[i], y[i]);
        }
    }
}

/* Works out the probabilities once more, then the gradient of the scores: p * (dp - sum of p * dp) * scale. */
static void attend_back(const mg_attention_params *params, const rows *at, int32_t keys, float *p, float *dp) {
    const float largest = mg_attention_scores(params, at->q, at->k, at->mask, keys, p, MG_ATTENTION_LOWEST);
    float sum = 0.0f;
    float mean = 0.0f;
    for (int32_t i = 0; i < keys; ++i) {
        p[i] = mg_exp(p[i] - largest);
        sum += p[i];
    }
    mg_attention_products(at->dy, at->v, params->v_stride, params->value_width, keys, dp);
    const float factor = 1.0f / sum;
    for (int32_t i = 0; i < keys; ++i) {
        p[i] *= factor;
        mean = mg_fma(p[i], dp[i], mean);
    }
    for (int32_t i = 0; i < keys; ++i) {
        dp[i] = p[i] * (dp[i] - mean) * params->scale;
    }
    mg_attention_combine(dp, at->k, params->k_stride, keys, params->width, 0, 1.0f, at->dq);
    spread(dp, at->q, params->width, keys, params->k_stride, at->dk);
    spread(p, at->dy, params->value_width, keys, params->v_stride, at->dv);
}

void mg_attention_gradient_float32(const mg_attention_params *params, const float *qkv, const float *dy,
                                   const float *mask, float *dqkv, float *scratch) {
    for (int32_t i = 0; i < params->size; ++i) {
        dqkv[i] = 0.0f;
    }
    for (int32_t row = 0; row < params->rows; ++row) {
        const int32_t keys = params->causal && row + 1 < params->keys ? row + 1 : params->keys;
        for (int32_t head = 0; head < params->heads; ++head, dy += params->value_width) {
            const int32_t shared = head / params->sharing;
            const int32_t q = params->q_start + row * params->q_stride + head * params->width;
            const int32_t k = params->k_start + shared * params->width;
            const int32_t v = params->v_start + shared * params->value_width;
            rows at;
            at.q = qkv + q;
            at.k = qkv + k;
            at.v = qkv + v;
            at.mask = mask ? mask + head * params->mask_stride + row * params->keys : mask;
            at.dy = dy;
            at.dq = dqkv + q;
            at.dk = dqkv + k;
            at.dv = dqkv + v;
            attend_back(params, &at, keys, scratch, scratch + params->keys);
        }
    }
}
