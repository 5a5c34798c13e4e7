#include "mg_embedding.h"

void mg_embedding_gradient_float32(const mg_embedding_params *params, const int32_t *x, const float *dy, float *dw) {
    for (int32_t i = 0; i < params->rows * params->columns; ++i) {
        dw[i] = 0.0f;
    }
    for (int32_t token = 0; token < params->tokens; ++token, dy += params->columns) {
        float *row = dw + x[token] * params->columns;
        for (int32_t i = 0; i < params->columns && x[token] != params->padding; ++i) {
            row[i] += dy[i];
        }
    }
}
