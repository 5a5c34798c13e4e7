#define MG_NUMBER float
#define MG_BEATS(a, b) ((a) <= (b))
#define MG_FIRST(a, b) (MG_BEATS(a, b) || (a) != (a))
#include "mg_extreme_core.h"

void mg_minimum_float32(const mg_broadcast_params *params, const float *a, const float *b, float *y, uint8_t *left,
                        uint8_t *right) {
    mg_extreme(params, a, b, y, left, right);
}
