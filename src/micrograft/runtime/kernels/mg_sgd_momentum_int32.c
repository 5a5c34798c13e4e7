#include "mg_codes_walk.h"

void mg_sgd_momentum_int32(const mg_codes_sgd_momentum_params *params, int32_t *codes, const float *gradient,
                           float *velocity, const mg_code_step *step) {
    const mg_codes found = {0, 0, codes, 0, 0};
    mg_sgd_momentum_codes(params, found, gradient, velocity, step);
}
