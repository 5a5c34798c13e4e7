#define MG_DETOUR MG_CODED_DETOUR
#include "mg_conv_core_int8.h"

void mg_coded_detour_conv_int8(const mg_conv_int8_params *params, const int8_t *x, const int8_t *weight,
                               const mg_channels *channels, const mg_coded_detour *detour, int8_t *y) {
    const mg_way way = {0, 0, detour->down, detour->up};
    mg_conv_core_int8(params, x, weight, channels, way, detour->columns, params->out_channels, y);
}
