#include "mg_codes_walk.h"

void mg_adam_int32(const mg_codes_adam_params *params, int32_t *codes, const float *gradient, float *moments,
                   const mg_code_step *step) {
    const mg_codes found = {0, 0, codes, 0, 0};
    mg_adam_codes(params, found, gradient, moments, step);
}
