#include "mg_sparse_conv.h"

#include "mg_conv_core_float32.h"

#define MG_SPARSE_ELEMENT float
#include "mg_sparse_rows.h"

/* Four outputs at a time: their rows are joined, and meet all of x. */
void mg_sparse_conv_float32(const mg_sparse_conv_params *params, const float *x, const mg_sparse_weight *weight,
                            const float *bias, float *scratch, float *y) {
    const int32_t taps = params->height.kernel * params->width.kernel;
    mg_sparse_rows rows = {weight->frozen,    weight->part, weight->index,       params->chosen,
                           params->by_output, taps,         params->in_channels, 0};
    mg_conv_params block = {params->height, params->width, params->in_channels, 0, 1};
    for (int32_t from = 0; from < params->out_channels; from += block.out_channels) {
        float *row = scratch;
        block.out_channels = params->out_channels - from < 4 ? params->out_channels - from : 4;
        for (int32_t i = 0; i < block.out_channels; ++i) {
            row = mg_sparse_join(&rows, row);
        }
        mg_conv_core_float32(&block, x, scratch, bias ? bias + from : 0, params->out_channels, y + from);
    }
}
