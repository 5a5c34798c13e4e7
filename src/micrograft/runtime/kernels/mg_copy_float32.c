#define MG_MOVED float
#include "mg_copy_core.h"

void mg_copy_float32(const mg_copy_params *params, const float *x, float *y) {
    mg_copy(params, x, y);
}
