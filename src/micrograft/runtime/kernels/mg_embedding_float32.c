#include "mg_embedding.h"

void mg_embedding_float32(const mg_embedding_params *params, const int32_t *x, const float *weight, float *y) {
    for (int32_t token = 0; token < params->tokens; ++token) {
        const float *row = weight + x[token] * params->columns;
        for (int32_t i = 0; i < params->columns; ++i) {
            *y++ = row[i];
        }
    }
}
