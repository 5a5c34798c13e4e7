#include "mg_math.h"
#include "mg_optimizers.h"

/* The corrections move by the very recursion of the moments, so rounding beta biases neither. */
void mg_adam_rate_float32(const mg_adam_rate_params *params, const float *learning_rate, float *corrections,
                          float *rate) {
    corrections[0] = mg_fma(params->rest1, 1.0f - corrections[0], corrections[0]);
    corrections[1] = mg_fma(params->rest2, 1.0f - corrections[1], corrections[1]);
    rate[0] = *learning_rate / corrections[0];
    rate[1] = 1.0f / mg_sqrt(corrections[1]);
    rate[2] = *learning_rate;
}
