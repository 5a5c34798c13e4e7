#include "mg_sparse_conv.h"

#include "mg_conv_core_float32.h"

static void copy(const float *from, int32_t count, float *to) {
    for (; count > 0; --count) {
        *to++ = *from++;
    }
}

/* The row of one output whose chosen inputs are trained; part: what is trained of it. */
static void join_inputs(const mg_sparse_conv_params *params, const mg_sparse_weight *weight, const float *frozen,
                        const float *part, float *row) {
    const int32_t taps = params->height.kernel * params->width.kernel;
    copy(frozen, taps * params->in_channels, row);
    for (int32_t tap = taps; tap > 0; --tap, row += params->in_channels) {
        for (int32_t i = 0; i < params->chosen; ++i) {
            row[weight->index[i]] = *part++;
        }
    }
}

/* Four outputs at a time: their rows are joined, and meet all of x. */
void mg_sparse_conv_float32(const mg_sparse_conv_params *params, const float *x, const mg_sparse_weight *weight,
                            const float *bias, float *scratch, float *y) {
    const int32_t taps = params->height.kernel * params->width.kernel;
    const int32_t size = taps * params->in_channels;
    const float *frozen = weight->frozen;
    const float *part = weight->part;
    int32_t next = 0; /* of the chosen outputs */
    mg_conv_params block;
    block.height = params->height;
    block.width = params->width;
    block.in_channels = params->in_channels;
    block.groups = 1;
    for (int32_t from = 0; from < params->out_channels; from += 4) {
        const int32_t left = params->out_channels - from;
        block.out_channels = left < 4 ? left : 4;
        for (int32_t i = 0; i < block.out_channels; ++i, frozen += size) {
            float *const row = scratch + i * size;
            if (!params->by_output) {
                join_inputs(params, weight, frozen, part, row);
                part += taps * params->chosen;
            } else if (next < params->chosen && weight->index[next] == from + i) {
                copy(part, size, row);
                part += size;
                ++next;
            } else {
                copy(frozen, size, row);
            }
        }
        mg_conv_core_float32(&block, x, scratch, bias ? bias + from : 0, params->out_channels, y + from);
    }
}
