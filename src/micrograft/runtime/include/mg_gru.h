/* One unit of a GRU, which two kernels share. */
#ifndef MG_GRU_H
#define MG_GRU_H

#include "mg_recurrent.h"

typedef struct {
    float reset, update, candidate, product;
} mg_gru_unit;

/* sum plus the dot product of x with a row of the weight; x may be null. */
static inline float mg_gru_dot(const float *x, const float *row, int32_t length, float sum) {
    for (int32_t i = 0; x && i < length; ++i) {
        sum = mg_fma(x[i], row[i], sum);
    }
    return sum;
}

/* z, weight, bias: at the unit's own places. before: all outputs of the step before, or null. */
static inline mg_gru_unit mg_gru_gates(const mg_recurrent_params *params, const float *z, const float *weight,
                                       const float *bias, const float *before) {
    const int32_t hidden = params->hidden;
    const int32_t reset = params->order[0] * hidden;
    const int32_t update = params->order[1] * hidden;
    const int32_t candidate = 2 * hidden;
    mg_gru_unit u;
    u.reset = z[reset] + (bias ? bias[reset] : 0.0f);
    u.update = z[update] + (bias ? bias[update] : 0.0f);
    u.reset = mg_logistic(mg_gru_dot(before, weight + reset * hidden, hidden, u.reset));
    u.update = mg_logistic(mg_gru_dot(before, weight + update * hidden, hidden, u.update));
    u.product = mg_gru_dot(before, weight + candidate * hidden, hidden, bias ? bias[candidate] : 0.0f);
    u.candidate = mg_tanh(mg_fma(u.reset, u.product, z[candidate]));
    return u;
}

/* What the unit puts out; before: its own output of the step before. */
static inline float mg_gru_output(const mg_gru_unit *u, float before) {
    return mg_fma(u->update, before - u->candidate, u->candidate);
}

#endif
