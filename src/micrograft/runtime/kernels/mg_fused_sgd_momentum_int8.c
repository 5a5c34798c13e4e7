#include "mg_fused_codes_core.h"

void mg_fused_sgd_momentum_int8(const mg_fused_sgd_momentum_int8_params *params, int8_t *codes,
                                const mg_gradient_int8 *gradient, float *velocity, const mg_code_step *step) {
    const mg_code_tensor *const whole = &params->update.codes;
    mg_codes_sgd_momentum_params part = params->update;
    for (int32_t from = 0, count; from < params->gradient.size; from += count) {
        const mg_codes found = {codes + from, 0, 0, 0, from};
        const mg_code_step own = mg_step_of_part(whole, step, from);
        count = mg_weight_gradient_part_int8(&params->gradient, gradient, from);
        part.codes = mg_part_of_codes(whole, count);
        mg_sgd_momentum_codes(&part, found, gradient->part, velocity + from, &own);
    }
}
