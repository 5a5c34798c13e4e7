#define MG_MOVED float
#include "mg_copy_core.h"

void mg_transpose_float32(const mg_transpose_params *params, const float *x, float *y) {
    mg_transpose(params, x, y);
}
