#define MG_NUMBER int8_t
#define MG_BEATS(a, b) ((a) <= (b))
#define MG_FIRST(a, b) MG_BEATS(a, b)
#include "mg_extreme_core.h"

void mg_minimum_int8(const mg_broadcast_params *params, const int8_t *a, const int8_t *b, int8_t *y, uint8_t *left,
                     uint8_t *right) {
    mg_extreme(params, a, b, y, left, right);
}
