#include "mg_recurrent.h"

/* One unit of one step. dh: the gradient of its output; y: that output. Returns what goes straight to the one before. */
static float one_unit(const mg_recurrent_params *params, float dh, float y, float *dz, float *product) {
    const int32_t hidden = params->hidden;
    float *const reset = dz + params->order[0] * hidden;
    float *const update = dz + params->order[1] * hidden;
    float *const candidate = dz + 2 * hidden;
    const float r = *reset, u = *update, n = *candidate;
    const float dn = dh * (1.0f - u) * mg_fma(-n, n, 1.0f);
    *update = dh * (y - n) * (1.0f - u); /* y - n is u (y' - n), so this has the factor u (1 - u) */
    *reset = dn * *product * mg_fma(-r, r, r);
    *candidate = dn;
    *product = dn * r;
    return dh * u;
}

void mg_gru_gradient_float32(const mg_recurrent_params *params, const float *dy, const float *weight, const float *y,
                             float *dz, float *products) {
    const int32_t hidden = params->hidden;
    float *const carry = products + params->cells; /* a row behind the last step's */
    for (int32_t step = params->steps - 1; step >= 0; --step) {
        const int flows = mg_flows_back(params, step);
        for (int32_t unit = 0, count; unit < hidden; unit += count) {
            float dh[8];
            count = mg_units(hidden - unit);
            for (int32_t i = 0; i < count; ++i) {
                dh[i] = flows ? dy[unit + i] + carry[unit + i] : dy[unit + i];
            }
            if (flows) {
                const float *tail = weight + 2 * hidden * hidden;
                (void)mg_send_back(dz + params->gates, weight + unit, 2, hidden, hidden - unit, dh);
                (void)mg_send_back(products + params->cells, tail + unit, 1, hidden, hidden - unit, dh);
            }
            for (int32_t i = 0, at = unit; i < count; ++i, ++at) {
                carry[at] = one_unit(params, dh[i], y[at], dz + at, products + at);
            }
        }
        dy -= params->outputs;
        y -= params->outputs;
        dz -= params->gates;
        products -= params->cells;
    }
}
