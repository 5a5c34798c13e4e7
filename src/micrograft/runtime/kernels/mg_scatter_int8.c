#define MG_MOVED int8_t
#include "mg_copy_core.h"

void mg_scatter_int8(const mg_scatter_params *params, const int8_t *x, int8_t *y) {
    mg_scatter(params, x, y);
}
