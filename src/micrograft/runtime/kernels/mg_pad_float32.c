#define MG_MOVED float
#include "mg_copy_core.h"

void mg_pad_float32(const mg_pad_params *params, const float *x, float *y) {
    mg_pad(params, x, y);
}
