#define MG_MOVED int8_t
#include "mg_resize_nearest_core.h"

void mg_resize_nearest_int8(const mg_resize_params *params, const int8_t *x, int8_t *y) {
    mg_resize_nearest(params, x, y);
}
