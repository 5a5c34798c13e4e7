#include "mg_linear.h"
#include "mg_weight_gradient_core_float32.h"
#include "mg_weight_gradient_part.h"

int32_t mg_weight_gradient_part_float32(const mg_gradient_float32_params *params, const mg_gradient_float32 *gradient,
                                        int32_t from) {
    const mg_conv_params conv = {params->height, params->width, params->in_channels, params->out_channels,
                                 params->groups};
    const int32_t size = conv.height.kernel * conv.width.kernel * (conv.in_channels / conv.groups);
    const int32_t outputs = conv.out_channels / conv.groups;
    const int32_t output = from / size;
    const int32_t left = outputs - output % outputs; /* of the group */
    const int32_t count = left < 4 ? left : 4;
    if (params->depthwise) {
        mg_depthwise_weight_gradient_tap(&conv, gradient->x, gradient->dy, from / conv.out_channels, gradient->part);
        return conv.out_channels;
    }
    if (params->linear && conv.width.output == 1) {
        const mg_linear_params rows = {1, conv.in_channels, count};
        mg_linear_weight_gradient_float32(&rows, gradient->x, gradient->dy + output, gradient->part);
    } else {
        mg_conv_weight_gradient_rows(&conv, gradient->x, gradient->dy, output, count, gradient->part);
    }
    return count * size;
}
