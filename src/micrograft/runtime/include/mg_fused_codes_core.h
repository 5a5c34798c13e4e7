/* Updates of codes that read float32 gradients part by part. */
#ifndef MG_FUSED_CODES_CORE_H
#define MG_FUSED_CODES_CORE_H

#include "mg_code_part.h"
#include "mg_codes_walk.h"
#include "mg_fused_update.h"

/* The step of the codes from element `from` on. */
static inline mg_code_step mg_step_of_part(const mg_code_tensor *codes, const mg_code_step *step, int32_t from) {
    mg_code_step part = *step;
    part.scales += mg_first_channel(codes, from);
    return part;
}

/* As mg_sgd_codes. */
static inline void mg_fused_sgd_codes(const mg_fused_sgd_int8_params *params, int8_t *codes, int8_t *residue,
                                      const mg_gradient_int8 *gradient, const mg_code_step *step) {
    const mg_code_tensor *const whole = &params->update.codes;
    mg_codes_sgd_params part = params->update;
    for (int32_t from = 0, count; from < params->gradient.size; from += count) {
        const mg_codes found = {codes + from, 0, 0, residue ? residue + from : 0, from};
        const mg_code_step own = mg_step_of_part(whole, step, from);
        count = mg_weight_gradient_part_int8(&params->gradient, gradient, from);
        part.codes = mg_part_of_codes(whole, count);
        mg_sgd_codes(&part, found, gradient->part, &own);
    }
}

#endif
