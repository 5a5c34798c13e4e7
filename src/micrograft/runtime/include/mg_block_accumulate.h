/* Sums of gradients that are blocks (mg_block.h) over steps: momentum, and accumulation over samples. The sum has 16 bits,
 * whatever its gradients have; it is looked at before it is written, so that its largest element keeps 15 of them. */
#ifndef MG_BLOCK_ACCUMULATE_H
#define MG_BLOCK_ACCUMULATE_H

#include "mg_block_elements.h"

/* total = a * total + b * factor * added. factor: at least 0, 16 bits of its significand count; null: 1. An operand that is
 * 0 all over has no say in the exponent. */
void mg_block_accumulate_int16(const mg_block_add_params *params, const mg_block_int16 *total,
                               const mg_block_int16 *added, const float *factor);
void mg_block_accumulate_int8(const mg_block_add_params *params, const mg_block_int16 *total,
                              const mg_block_int8 *added, const float *factor);

#endif
