#define MG_MOVED float
#include "mg_resize_nearest_core.h"

void mg_resize_nearest_float32(const mg_resize_params *params, const float *x, float *y) {
    mg_resize_nearest(params, x, y);
}
