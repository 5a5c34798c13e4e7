/* The loops behind the updates of codes, for int8 (`narrow`) or int32 (`wide`) ones; the other pointer is null. */
#ifndef MG_CODES_WALK_H
#define MG_CODES_WALK_H

#include "mg_codes_optimizers.h"
#include "mg_math.h"

typedef struct {
    int8_t *narrow;
    int32_t *wide;
} mg_codes;

static inline int32_t mg_code_at(mg_codes codes, int32_t i) {
    return codes.narrow ? codes.narrow[i] : codes.wide[i];
}

static inline void mg_move_code(const mg_code_tensor *tensor, mg_codes codes, int32_t i, float step,
                                uint32_t counter) {
    const int32_t moved = mg_moved_code(tensor, mg_code_at(codes, i), step, counter);
    if (codes.narrow) {
        codes.narrow[i] = (int8_t)moved;
    } else {
        codes.wide[i] = moved;
    }
}

static inline void mg_sgd_codes(const mg_codes_sgd_params *params, mg_codes codes, const float *gradient,
                                const mg_code_step *step) {
    const mg_code_tensor *const tensor = &params->codes;
    const float factor = step->factor ? *step->factor : 1.0f;
    uint32_t counter = mg_random_start(tensor, step);
    int32_t i = 0;
    for (int32_t outer = tensor->outer; outer > 0; --outer) {
        for (int32_t channel = 0; channel < tensor->channels; ++channel) {
            const float scale = step->scales[channel];
            const float pace = *step->rate / scale;
            const float decay = params->weight_decay * scale;
            for (const int32_t end = i + tensor->inner; i < end; ++i, counter = mg_random_next(counter)) {
                float g = factor * gradient[i];
                if (params->weight_decay != 0.0f) {
                    g += decay * (float)mg_code_at(codes, i);
                }
                mg_move_code(tensor, codes, i, g * pace, counter);
            }
        }
    }
}

static inline void mg_sgd_momentum_codes(const mg_codes_sgd_momentum_params *params, mg_codes codes,
                                         const float *gradient, float *velocity, const mg_code_step *step) {
    const mg_code_tensor *const tensor = &params->codes;
    const float factor = step->factor ? *step->factor : 1.0f;
    uint32_t counter = mg_random_start(tensor, step);
    int32_t i = 0;
    for (int32_t outer = tensor->outer; outer > 0; --outer) {
        for (int32_t channel = 0; channel < tensor->channels; ++channel) {
            const float scale = step->scales[channel];
            const float pace = *step->rate / scale;
            const float decay = params->weight_decay * scale;
            for (const int32_t end = i + tensor->inner; i < end; ++i, counter = mg_random_next(counter)) {
                float g = factor * gradient[i];
                if (params->weight_decay != 0.0f) {
                    g += decay * (float)mg_code_at(codes, i);
                }
                velocity[i] = params->momentum * velocity[i] + g;
                mg_move_code(tensor, codes, i, velocity[i] * pace, counter);
            }
        }
    }
}

static inline void mg_adam_codes(const mg_codes_adam_params *params, mg_codes codes, const float *gradient,
                                 float *moments, const mg_code_step *step) {
    const mg_code_tensor *const tensor = &params->codes;
    const float factor = step->factor ? *step->factor : 1.0f;
    const float coupled = params->decoupled ? 0.0f : params->weight_decay;
    const float decoupled = params->decoupled ? step->rate[2] * params->weight_decay : 0.0f;
    float *const squares = moments + tensor->outer * tensor->channels * tensor->inner;
    uint32_t counter = mg_random_start(tensor, step);
    int32_t i = 0;
    for (int32_t outer = tensor->outer; outer > 0; --outer) {
        for (int32_t channel = 0; channel < tensor->channels; ++channel) {
            const float scale = step->scales[channel];
            const float pace = step->rate[0] / scale;
            for (const int32_t end = i + tensor->inner; i < end; ++i, counter = mg_random_next(counter)) {
                const float code = (float)mg_code_at(codes, i);
                float g = factor * gradient[i];
                float move;
                if (coupled != 0.0f) {
                    g += coupled * scale * code;
                }
                moments[i] += params->rest1 * (g - moments[i]);
                squares[i] += params->rest2 * (g * g - squares[i]);
                move = pace * moments[i] / (mg_sqrt(squares[i]) * step->rate[1] + params->epsilon);
                if (params->decoupled) {
                    move += decoupled * code;
                }
                mg_move_code(tensor, codes, i, move, counter);
            }
        }
    }
}

#endif
