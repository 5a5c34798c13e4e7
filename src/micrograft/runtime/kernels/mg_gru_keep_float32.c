#include "mg_gru.h"

void mg_gru_keep_float32(const mg_recurrent_params *params, float *gates, const float *weight, const float *bias,
                         float *y, float *products) {
    const int32_t hidden = params->hidden;
    for (int32_t step = 0; step < params->steps; ++step, gates += params->gates, y += params->outputs) {
        const float *before = step > 0 || params->known ? y - params->outputs : 0;
        for (int32_t unit = 0; unit < hidden; ++unit) {
            const float *own = bias ? bias + unit : 0;
            const mg_gru_unit u = mg_gru_gates(params, gates + unit, weight + unit * hidden, own, before);
            y[unit] = mg_gru_output(&u, before ? before[unit] : 0.0f);
            gates[params->order[0] * hidden + unit] = u.reset;
            gates[params->order[1] * hidden + unit] = u.update;
            gates[2 * hidden + unit] = u.candidate;
            if (products) {
                products[unit] = u.product;
            }
        }
        products = products ? products + params->cells : 0;
    }
}
