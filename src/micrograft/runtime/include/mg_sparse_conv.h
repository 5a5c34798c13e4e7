/* A convolution, or a linear layer over rows, whose weight lies in two places: frozen, and some channels trained. */
#ifndef MG_SPARSE_CONV_H
#define MG_SPARSE_CONV_H

#include "mg_fixed_point.h"
#include "mg_window.h"

typedef struct {
    mg_axis height;
    mg_axis width;
    int32_t in_channels;
    int32_t out_channels;
    int32_t chosen;    /* channels of part */
    int32_t by_output; /* whether they are outputs; else inputs */
} mg_sparse_conv_params;

/* frozen: (out channels, kernel height, kernel width, in channels), read where part has nothing.
 * part: the same with the channels of index: (chosen), ascending, alone. */
typedef struct {
    const float *frozen;
    const float *part;
    const int32_t *index;
} mg_sparse_weight;

/* y as mg_conv_float32 (of one group) gives it for the joined weight, to the last bit. scratch: four outputs' rows of
 * the weight, or as many as there are outputs. */
void mg_sparse_conv_float32(const mg_sparse_conv_params *params, const float *x, const mg_sparse_weight *weight,
                            const float *bias, float *scratch, float *y);

typedef struct {
    mg_axis height;
    mg_axis width;
    int32_t in_channels;
    int32_t out_channels;
    int32_t chosen;
    int32_t by_output;
    int32_t x_zero; /* the code of x that means 0 */
    mg_code_range y;
} mg_sparse_conv_int8_params;

/* The same of codes. */
typedef struct {
    const int8_t *frozen;
    const int8_t *part;
    const int32_t *index;
} mg_sparse_codes;

/* rows: four outputs' of the weight, or as many as there are outputs; columns: as of mg_conv_int8. */
typedef struct {
    int8_t *rows;
    int16_t *columns;
} mg_sparse_scratch;

/* y as mg_conv_int8 gives it for the joined weight. */
void mg_sparse_conv_int8(const mg_sparse_conv_int8_params *params, const int8_t *x, const mg_sparse_codes *weight,
                         const mg_channels *channels, const mg_sparse_scratch *scratch, int8_t *y);

#endif
