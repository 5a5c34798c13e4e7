#define MG_MOVED float
#include "mg_pad_axes_core.h"

void mg_pad_axes_float32(const mg_pad_axes_params *params, const float *x, float *y) {
    mg_pad_axes(params, params->value, x, y);
}
