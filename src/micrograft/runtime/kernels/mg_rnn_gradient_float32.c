#include "mg_recurrent.h"

void mg_rnn_gradient_float32(const mg_recurrent_params *params, const float *dy, const float *weight, const float *y,
                             float *dz) {
    const int32_t hidden = params->hidden;
    for (int32_t step = params->steps - 1; step >= 0; --step) {
        const int flows = mg_flows_back(params, step);
        for (int32_t unit = 0, count; unit < hidden; unit += count) {
            float dh[8];
            count = mg_units(hidden - unit);
            for (int32_t i = 0; i < count; ++i) {
                dh[i] = dy[unit + i];
            }
            if (flows) {
                (void)mg_send_back(dz + params->gates, weight + unit, 1, hidden, hidden - unit, dh);
            }
            for (int32_t i = 0; i < count; ++i) {
                const float value = y[unit + i];
                const float slope = value > 0.0f ? 1.0f : 0.0f;
                dz[unit + i] = dh[i] * (params->order[0] ? slope : mg_fma(-value, value, 1.0f));
            }
        }
        dy -= params->outputs;
        y -= params->outputs;
        dz -= params->gates;
    }
}
