#include "mg_codes_walk.h"

void mg_sgd_residue_int8(const mg_codes_sgd_params *params, int8_t *codes, const float *gradient, int8_t *residue,
                         const mg_code_step *step) {
    const mg_codes found = {codes, 0, 0, residue, 0};
    mg_sgd_codes(params, found, gradient, step);
}
