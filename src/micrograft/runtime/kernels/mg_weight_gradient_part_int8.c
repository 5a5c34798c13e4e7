#include "mg_codes_optimizers.h"
#include "mg_weight_gradient_core_int8.h"
#include "mg_weight_gradient_part.h"

int32_t mg_weight_gradient_part_int8(const mg_gradient_int8_params *params, const mg_gradient_int8 *gradient,
                                     int32_t from) {
    const mg_conv_of_codes_params *const conv = &params->conv;
    const int32_t size = conv->height.kernel * conv->width.kernel * (conv->in_channels / conv->groups);
    const int32_t outputs = conv->out_channels / conv->groups;
    int32_t count = conv->out_channels;
    if (params->depthwise) {
        mg_code_weight_gradient_tap(conv, gradient->x, gradient->dy, from / count, gradient->part);
    } else {
        const int32_t output = from / size;
        const int32_t left = outputs - output % outputs; /* of the group */
        const int32_t rows = left < 4 ? left : 4;
        mg_code_weight_gradient_rows(conv, gradient->x, gradient->dy, output, rows, gradient->part);
        count = rows * size;
    }
    if (gradient->scales) {
        const int32_t inner = params->channels == 1 ? count : params->inner;
        const mg_real_gradient_params real = {1, count / inner, inner};
        const float *const scales = gradient->scales + from / params->inner % params->channels;
        mg_real_gradient_float32(&real, gradient->part, scales, gradient->part);
    }
    return count;
}
