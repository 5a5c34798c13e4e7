/* The gradient of resizing to the nearest, in integers (mg_block.h). */
#ifndef MG_BLOCK_RESIZE_H
#define MG_BLOCK_RESIZE_H

#include "mg_block.h"
#include "mg_resize.h"

/* dx, shaped as x: the sum of dy over the positions that lie on a place; places are in order along both axes. */
void mg_block_resize_nearest_gradient_int16(const mg_resize_params *params, const mg_block_int16 *dy,
                                            const mg_block_int16 *dx);
void mg_block_resize_nearest_gradient_int8(const mg_resize_params *params, const mg_block_int8 *dy,
                                           const mg_block_int8 *dx);

#endif
