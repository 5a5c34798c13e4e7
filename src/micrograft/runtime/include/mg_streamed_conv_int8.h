/* Two or three int8 convolutions behind each other, row by row: of what lies between them only the rows that the next
 * one's window covers exist. Each code is that of the kernels one after the other, to the bit. */
#ifndef MG_STREAMED_CONV_INT8_H
#define MG_STREAMED_CONV_INT8_H

#include "mg_conv_int8.h"

#define MG_STAGES 3

/* How a stage computes. */
#define MG_STAGE_CONV 0      /* mg_conv_int8 */
#define MG_STAGE_DEPTHWISE 1 /* mg_depthwise_conv_int8 */
#define MG_STAGE_LINEAR 2    /* mg_linear_int8: a 1x1 convolution of stride 1 without padding */

typedef struct {
    int32_t kind;
    int32_t held; /* rows of its output that are held for the next stage; 0 for the last */
    mg_conv_int8_params conv;
} mg_stage;

typedef struct {
    mg_stage stages[MG_STAGES];
    int32_t count; /* of stages */
    int32_t columns; /* bytes at the start of `held` for what a stage's windows see */
} mg_streamed_conv_int8_params;

/* What each stage meets; null where there is no third. */
typedef struct {
    const int8_t *weight[MG_STAGES];
    mg_channels channels[MG_STAGES];
} mg_stage_weights;

/* y: the last stage's output, from x: the first stage's input. held: room for columns (a multiple of 4), and for the
 * rows that are held between the stages, those of the first stage first. y must not lie on x. */
void mg_streamed_conv_int8(const mg_streamed_conv_int8_params *params, const int8_t *x, const mg_stage_weights *weights,
                           int8_t *held, int8_t *y);

#endif
