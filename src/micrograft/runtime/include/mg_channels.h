/* Some channels of vectors: copied out and put back. Nothing is rounded. */
#ifndef MG_CHANNELS_H
#define MG_CHANNELS_H

#include <stdint.h>

typedef struct {
    int32_t rows;     /* vectors */
    int32_t channels; /* length of a vector */
    int32_t chosen;   /* length of index */
} mg_channels_params;

/* y: (rows, chosen) = x: (rows, channels) at index: (chosen), ascending. */
void mg_take_channels_float32(const mg_channels_params *params, const float *x, const int32_t *index, float *y);
void mg_take_channels_int8(const mg_channels_params *params, const int8_t *x, const int32_t *index, int8_t *y);

/* y: (rows, channels) = x, but part: (rows, chosen) at index. y may be x. */
void mg_put_channels_float32(const mg_channels_params *params, const float *x, const float *part,
                             const int32_t *index, float *y);
void mg_put_channels_int8(const mg_channels_params *params, const int8_t *x, const int8_t *part, const int32_t *index,
                          int8_t *y);

#endif
