#define MG_MOVED int16_t
#include "mg_copy_core.h"

void mg_transpose_int16(const mg_transpose_params *params, const int16_t *x, int16_t *y) {
    mg_transpose(params, x, y);
}
