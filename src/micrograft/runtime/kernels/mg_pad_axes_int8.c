#define MG_MOVED int8_t
#include "mg_pad_axes_core.h"

void mg_pad_axes_int8(const mg_pad_axes_params *params, const int8_t *x, int8_t *y) {
    mg_pad_axes(params, (int8_t)params->code, x, y);
}
