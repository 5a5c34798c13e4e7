#include "mg_sparse_conv.h"

#include "mg_conv_core_int8.h"

#define MG_SPARSE_ELEMENT int8_t
#include "mg_sparse_rows.h"

/* Four outputs at a time: their rows are joined, and meet all of x. */
void mg_sparse_conv_int8(const mg_sparse_conv_int8_params *params, const int8_t *x, const mg_sparse_codes *weight,
                         const mg_channels *channels, const mg_sparse_scratch *scratch, int8_t *y) {
    const int32_t taps = params->height.kernel * params->width.kernel;
    mg_sparse_rows rows = {weight->frozen,    weight->part, weight->index,       params->chosen,
                           params->by_output, taps,         params->in_channels, 0};
    mg_conv_int8_params block = {params->height, params->width, params->in_channels, 0,   1,
                                 params->x_zero, params->y,     0,                   0.0f, 0};
    const mg_way none = {0, 0, 0, 0};
    for (int32_t from = 0; from < params->out_channels; from += block.out_channels) {
        const mg_channels own = {channels->bias + from, channels->factors + 2 * from};
        int8_t *row = scratch->rows;
        block.out_channels = params->out_channels - from < 4 ? params->out_channels - from : 4;
        for (int32_t i = 0; i < block.out_channels; ++i) {
            row = mg_sparse_join(&rows, row);
        }
        mg_conv_core_int8(&block, x, scratch->rows, &own, none, scratch->columns, params->out_channels, y + from);
    }
}
