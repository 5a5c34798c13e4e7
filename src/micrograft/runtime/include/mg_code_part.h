/* Parts of a tensor of codes, for updates that read the gradient part by part. */
#ifndef MG_CODE_PART_H
#define MG_CODE_PART_H

#include "mg_codes_update.h"

/* `count` of the codes as a tensor: whole channels, one element of each of them, or some of the only one. */
static inline mg_code_tensor mg_part_of_codes(const mg_code_tensor *codes, int32_t count) {
    mg_code_tensor part = *codes;
    part.outer = 1;
    part.inner = codes->channels == 1 ? count : codes->inner;
    part.channels = count / part.inner;
    return part;
}

/* The channel of element `from`. */
static inline int32_t mg_first_channel(const mg_code_tensor *codes, int32_t from) {
    return from / codes->inner % codes->channels;
}

#endif
