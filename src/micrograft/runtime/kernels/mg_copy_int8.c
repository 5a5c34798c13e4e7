#define MG_MOVED int8_t
#include "mg_copy_core.h"

void mg_copy_int8(const mg_copy_params *params, const int8_t *x, int8_t *y) {
    mg_copy(params, x, y);
}
