#define MG_MOVED int16_t
#include "mg_copy_core.h"

void mg_pad_int16(const mg_pad_params *params, const int16_t *x, int16_t *y) {
    mg_pad(params, x, y);
}
