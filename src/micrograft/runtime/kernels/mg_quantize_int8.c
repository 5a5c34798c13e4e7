#include "mg_codes.h"

/* Adding and taking away 1.5 * 2^23 leaves a float32 below 2^22 rounded to a whole number, ties to even. */
#define MG_WHOLE 12582912.0f

void mg_quantize_int8(const mg_quantize_params *params, const float *x, int8_t *y) {
    const float low = (float)(params->low - params->zero);
    const float high = (float)(params->high - params->zero);
    for (int32_t i = 0; i < params->size; ++i) {
        float steps = x[i] / params->scale;
        steps = steps > low ? steps : low;
        steps = steps < high ? steps : high;
        y[i] = (int8_t)((int32_t)((steps + MG_WHOLE) - MG_WHOLE) + params->zero);
    }
}
