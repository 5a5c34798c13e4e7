#include "mg_fixed_point.h"

void codes_of_sums(int32_t count, const mg_code_range *range, const int32_t *sums, const int32_t *factors, int8_t *y);

void codes_of_sums(int32_t count, const mg_code_range *range, const int32_t *sums, const int32_t *factors, int8_t *y) {
    for (int32_t i = 0; i < count; ++i) {
        y[i] = mg_code_of_sum(range, sums[i], factors + 2 * i);
    }
}
