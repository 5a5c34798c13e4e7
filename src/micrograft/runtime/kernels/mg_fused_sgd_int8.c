#include "mg_fused_codes_core.h"

void mg_fused_sgd_int8(const mg_fused_sgd_int8_params *params, int8_t *codes, const mg_gradient_int8 *gradient,
                       const mg_code_step *step) {
    mg_fused_sgd_codes(params, codes, 0, gradient, step);
}
