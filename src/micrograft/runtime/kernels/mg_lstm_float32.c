#include "mg_recurrent.h"

/* Unit by unit, its four gates side by side. */
void mg_lstm_float32(const mg_recurrent_params *params, const float *z, const float *weight, float *y, float *gates,
                     float *cells) {
    const int32_t hidden = params->hidden;
    const int32_t *const order = params->order;
    for (int32_t step = 0; step < params->steps; ++step) {
        const float *before = step > 0 || params->known ? y - params->outputs : 0;
        float *next = cells + params->cells;
        for (int32_t unit = 0; unit < hidden; ++unit) {
            mg_four sum = mg_four_column(z + unit, hidden, 0);
            float part[4];
            if (before) {
                sum = mg_four_dot(before, weight + unit * hidden, hidden * hidden, hidden, sum);
            }
            mg_four_store(sum, part);
            const float input = mg_logistic(part[order[0]]);
            const float forget = mg_logistic(part[order[1]]);
            const float candidate = mg_tanh(part[order[2]]);
            const float output = mg_logistic(part[order[3]]);
            const float cell = mg_fma(forget, cells[unit], input * candidate);
            next[unit] = cell;
            y[unit] = output * mg_tanh(cell);
            if (gates) {
                gates[order[0] * hidden + unit] = input;
                gates[order[1] * hidden + unit] = forget;
                gates[order[2] * hidden + unit] = candidate;
                gates[order[3] * hidden + unit] = output;
            }
        }
        z += params->gates;
        y += params->outputs;
        gates = gates ? gates + params->gates : 0;
        cells = next;
    }
}
