#include "mg_codes_optimizers.h"
#include "mg_weight_gradient_core_int8.h"
#include "mg_weight_gradient_part.h"

int32_t mg_weight_gradient_part_int8(const mg_gradient_int8_params *params, const mg_gradient_int8 *gradient,
                                     int32_t from) {
    const mg_conv_of_codes_params *const conv = &params->conv;
    const mg_rows rows = mg_rows_from(params, from);
    if (params->depthwise) {
        mg_code_weight_gradient_tap(conv, gradient->x, gradient->dy, from / rows.size, gradient->part);
    } else {
        mg_code_weight_gradient_rows(conv, gradient->x, gradient->dy, rows.first, rows.count, gradient->part);
    }
    if (gradient->scales) {
        const int32_t inner = params->channels == 1 ? rows.size : params->inner;
        const mg_real_gradient_params real = {1, rows.size / inner, inner};
        const float *const scales = gradient->scales + from / params->inner % params->channels;
        mg_real_gradient_float32(&real, gradient->part, scales, gradient->part);
    }
    return rows.size;
}
