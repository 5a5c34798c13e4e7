#include "mg_recurrent.h"

void mg_rnn_float32(const mg_recurrent_params *params, const float *z, const float *weight, float *y) {
    const int32_t hidden = params->hidden;
    for (int32_t step = 0; step < params->steps; ++step, z += params->gates, y += params->outputs) {
        const float *before = step > 0 || params->known ? y - params->outputs : 0;
        const float *row = weight;
        for (int32_t unit = 0; unit < hidden; ++unit, row += hidden) {
            float sum = z[unit];
            for (int32_t i = 0; before && i < hidden; ++i) {
                sum = mg_fma(before[i], row[i], sum);
            }
            y[unit] = params->order[0] ? (sum < 0.0f ? 0.0f : sum) : mg_tanh(sum);
        }
    }
}
