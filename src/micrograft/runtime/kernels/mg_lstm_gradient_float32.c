#include "mg_recurrent.h"

/* One unit of one step. dh: the gradient of its output; carry: of its cell, which becomes that of the cell before. */
static void one_unit(const mg_recurrent_params *params, float dh, float cell, float before, float *dz, float *carry) {
    const int32_t hidden = params->hidden;
    float *const input = dz + params->order[0] * hidden;
    float *const forget = dz + params->order[1] * hidden;
    float *const candidate = dz + params->order[2] * hidden;
    float *const output = dz + params->order[3] * hidden;
    const float shown = mg_tanh(cell);
    const float dcell = mg_fma(dh * *output, mg_fma(-shown, shown, 1.0f), *carry);
    const float i = *input, f = *forget, g = *candidate, o = *output;
    *carry = dcell * f;
    *input = dcell * g * mg_fma(-i, i, i);
    *forget = dcell * before * mg_fma(-f, f, f);
    *candidate = dcell * i * mg_fma(-g, g, 1.0f);
    *output = dh * shown * mg_fma(-o, o, o);
}

void mg_lstm_gradient_float32(const mg_recurrent_params *params, const float *dy, const float *weight,
                              const float *cells, float *dz, float *carry) {
    const int32_t hidden = params->hidden;
    for (int32_t step = params->steps - 1; step >= 0; --step) {
        const int flows = mg_flows_back(params, step);
        for (int32_t unit = 0, count; unit < hidden; unit += count) {
            float dh[8];
            count = mg_units(hidden - unit);
            for (int32_t i = 0; i < count; ++i) {
                dh[i] = dy[unit + i];
                if (!flows && step + 1 < params->steps) {
                    carry[unit + i] = 0.0f;
                }
            }
            if (flows) {
                (void)mg_send_back(dz + params->gates, weight + unit, 4, hidden, hidden - unit, dh);
            }
            for (int32_t i = 0, at = unit; i < count; ++i, ++at) {
                one_unit(params, dh[i], cells[at], cells[at - params->cells], dz + at, carry + at);
            }
        }
        dy -= params->outputs;
        dz -= params->gates;
        cells -= params->cells;
    }
}
