#define MG_MOVED float
#include "mg_copy_core.h"

void mg_scatter_float32(const mg_scatter_params *params, const float *x, float *y) {
    mg_scatter(params, x, y);
}
