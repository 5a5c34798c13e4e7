#include "mg_math.h"
#include "mg_optimizers.h"

void mg_clip_scale_float32(const mg_clip_scale_params *params, const float *square_sum, float *y) {
    const float scale = params->norm / (mg_sqrt(*square_sum) + 1e-6f);
    *y = scale > 1.0f ? 1.0f : scale; /* a NaN passes, and so shows */
}
