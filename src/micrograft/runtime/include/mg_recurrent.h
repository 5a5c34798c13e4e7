/* Recurrent layers over a sequence. What the input adds to each gate has been computed before, for all steps at once.
 * Rows of a tensor belong to steps; a layer that runs from the end has negative distances. Sums run in the order that
 * the code states, by fused multiply-add. */
#ifndef MG_RECURRENT_H
#define MG_RECURRENT_H

#include "mg_four.h"

typedef struct {
    int32_t steps;
    int32_t hidden;   /* units */
    int32_t gates;    /* from a step's gates to the next one's */
    int32_t outputs;  /* from a step's outputs to the next one's */
    int32_t cells;    /* from a step's cells to the next one's: 0 where only the present ones are kept */
    int32_t known;    /* whether the row in front of the first output holds what came before it */
    int32_t truncate; /* steps after which gradients no longer flow back; 0: they always do */
    int32_t order[4]; /* which part of the gates is which: LSTM input, forget, cell, output; GRU reset, update */
} mg_recurrent_params;

/* 1 / (1 + e^-x). */
static inline float mg_logistic(float x) { return 1.0f / (1.0f + mg_exp(-x)); }

/* Whether the gradient flows from the step behind `step` back to it. */
static inline int mg_flows_back(const mg_recurrent_params *params, int32_t step) {
    const int32_t next = step + 1;
    return next < params->steps && (params->truncate == 0 || next % params->truncate != 0);
}

/* sums = start plus what `gates` parts send back through weight: (gates * hidden, hidden) to eight units, or four, or
 * one. Returns how many. */
static inline int32_t mg_send_back(const float *parts, const float *weight, int32_t gates, int32_t hidden,
                                   int32_t left, float *sums) {
    if (left >= 8) {
        mg_eight sum;
        sum.first = mg_four_load(sums);
        sum.second = mg_four_load(sums + 4);
        sum = mg_eight_combine(parts, weight, hidden, gates * hidden, sum);
        mg_four_store(sum.first, sums);
        mg_four_store(sum.second, sums + 4);
        return 8;
    }
    if (left >= 4) {
        mg_four_store(mg_four_combine(parts, weight, hidden, gates * hidden, mg_four_load(sums)), sums);
        return 4;
    }
    for (int32_t i = 0; i < gates * hidden; ++i) {
        sums[0] = mg_fma(parts[i], weight[i * hidden], sums[0]);
    }
    return 1;
}

/* How many units are done at once, of those that are left. */
static inline int32_t mg_units(int32_t left) { return left >= 8 ? 8 : left >= 4 ? 4 : 1; }

/* One LSTM layer. z: what the input adds to the gates; weight: (4 hidden, hidden); gates, if not null, get their
 * values, and may be z. cells: the ones before the first step, and behind it those after each step. */
void mg_lstm_float32(const mg_recurrent_params *params, const float *z, const float *weight, float *y, float *gates,
                     float *cells);

/* dy, dz, cells: at the last step, cells those after it. dz: the gates, which become their gradient. carry: (hidden)
 * the gradient of the last cells, which becomes that of the first. */
void mg_lstm_gradient_float32(const mg_recurrent_params *params, const float *dy, const float *weight,
                              const float *cells, float *dz, float *carry);

/* One GRU layer whose reset gate acts behind the matrix product. bias: (3 hidden) or null. */
void mg_gru_float32(const mg_recurrent_params *params, const float *z, const float *weight, const float *bias,
                    float *y);

/* The same, keeping what the backward pass reads. gates: z, which becomes their values. products: of the last third
 * of weight with the outputs before, plus bias; params->cells is the distance of its rows. */
void mg_gru_keep_float32(const mg_recurrent_params *params, float *gates, const float *weight, const float *bias,
                         float *y, float *products);

/* Everything at the last step. dz: the gates, which become their gradient. products become their gradient; the row
 * behind the last step's becomes what goes straight to the outputs before the first. */
void mg_gru_gradient_float32(const mg_recurrent_params *params, const float *dy, const float *weight, const float *y,
                             float *dz, float *products);

/* One layer y = tanh(z + weight y'), y' of the step before; order[0]: 1 for max(., 0) instead of tanh. */
void mg_rnn_float32(const mg_recurrent_params *params, const float *z, const float *weight, float *y);

/* Everything at the last step. dz may be dy. */
void mg_rnn_gradient_float32(const mg_recurrent_params *params, const float *dy, const float *weight, const float *y,
                             float *dz);

typedef struct {
    int32_t rows;
    int32_t inputs;
    int32_t outputs;
    int32_t x_step; /* from row to row */
    int32_t dy_step;
} mg_rows_params;

/* dw: (outputs, inputs) = sum over rows of dy times x. */
void mg_rows_weight_gradient_float32(const mg_rows_params *params, const float *x, const float *dy, float *dw);

/* db: (outputs) = sum over rows of dy. */
void mg_rows_bias_gradient_float32(const mg_rows_params *params, const float *dy, float *db);

#endif
