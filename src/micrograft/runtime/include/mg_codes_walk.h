/* The loops behind the updates of codes, for int8 (`narrow`), int16 (`half`) or int32 (`wide`) ones; the other pointers
 * are null. The codes may be a part of a tensor, from its element `first` on. */
#ifndef MG_CODES_WALK_H
#define MG_CODES_WALK_H

#include "mg_codes_optimizers.h"

typedef struct {
    int8_t *narrow;
    int16_t *half;
    int32_t *wide;
    int8_t *residue; /* beside narrow; may be null */
    int32_t first;
} mg_codes;

/* The counter of the first of the codes. */
static inline uint32_t mg_counter_of(const mg_code_tensor *tensor, mg_codes codes, const mg_code_step *step) {
    return mg_random_start(tensor, step) + (uint32_t)codes.first * mg_random_next(0);
}

static inline int32_t mg_code_at(mg_codes codes, int32_t i) {
    return codes.narrow ? codes.narrow[i] : codes.half ? codes.half[i] : codes.wide[i];
}

static inline void mg_move_code(const mg_code_tensor *tensor, mg_codes codes, int32_t i, float step,
                                uint32_t counter) {
    if (codes.residue) {
        const int32_t parts = mg_moved_finely(tensor, 256 * codes.narrow[i] + codes.residue[i], step, counter);
        const int32_t code = (parts + 128) >> 8;
        codes.narrow[i] = (int8_t)code;
        codes.residue[i] = (int8_t)(parts - 256 * code);
    } else if (codes.narrow) {
        codes.narrow[i] = mg_moved_int8(tensor, codes.narrow[i], step, counter);
    } else if (codes.half) {
        codes.half[i] = (int16_t)mg_moved_int32(tensor, codes.half[i], step, counter);
    } else {
        codes.wide[i] = mg_moved_int32(tensor, codes.wide[i], step, counter);
    }
}

static inline void mg_sgd_codes(const mg_codes_sgd_params *params, mg_codes codes, const float *gradient,
                                const mg_code_step *step) {
    const mg_code_tensor tensor = params->codes; /* copied, as a store of int8 may alias anything */
    const float rate = *step->rate;
    const float factor = step->factor ? *step->factor : 1.0f;
    const float decay = rate * params->weight_decay;
    uint32_t counter = mg_counter_of(&tensor, codes, step);
    int32_t i = 0;
    for (int32_t outer = tensor.outer; outer > 0; --outer) {
        for (int32_t channel = 0; channel < tensor.channels; ++channel) {
            const float pace = factor * (rate / step->scales[channel]);
            const int32_t end = i + tensor.inner;
            if (decay == 0.0f) {
                for (; i < end; ++i, counter = mg_random_next(counter)) {
                    mg_move_code(&tensor, codes, i, gradient[i] * pace, counter);
                }
            }
            for (; i < end; ++i, counter = mg_random_next(counter)) {
                const float code = (float)mg_code_at(codes, i);
                mg_move_code(&tensor, codes, i, gradient[i] * pace + decay * code, counter);
            }
        }
    }
}

static inline void mg_sgd_momentum_codes(const mg_codes_sgd_momentum_params *params, mg_codes codes,
                                         const float *gradient, float *velocity, const mg_code_step *step) {
    const float momentum = params->momentum;
    const mg_code_tensor tensor = params->codes; /* copied, as a store of int8 may alias anything */
    const float rate = *step->rate;
    const float factor = step->factor ? *step->factor : 1.0f;
    const float weight_decay = params->weight_decay;
    uint32_t counter = mg_counter_of(&tensor, codes, step);
    int32_t i = 0;
    for (int32_t outer = tensor.outer; outer > 0; --outer) {
        for (int32_t channel = 0; channel < tensor.channels; ++channel) {
            const float scale = step->scales[channel];
            const float pace = rate / scale;
            const float decay = weight_decay * scale;
            for (const int32_t end = i + tensor.inner; i < end; ++i, counter = mg_random_next(counter)) {
                float g = factor * gradient[i];
                if (weight_decay != 0.0f) {
                    g += decay * (float)mg_code_at(codes, i);
                }
                g += momentum * velocity[i];
                velocity[i] = g;
                mg_move_code(&tensor, codes, i, g * pace, counter);
            }
        }
    }
}

static inline void mg_adam_codes(const mg_codes_adam_params *params, mg_codes codes, const float *gradient,
                                 float *moments, const mg_code_step *step) {
    const mg_codes_adam_params own = *params; /* copied, as a store of int8 may alias anything */
    const mg_code_tensor *const tensor = &own.codes;
    const float rate = step->rate[0], root_factor = step->rate[1];
    const float factor = step->factor ? *step->factor : 1.0f;
    const float coupled = own.decoupled ? 0.0f : own.weight_decay;
    const float decoupled = own.decoupled ? step->rate[2] * own.weight_decay : 0.0f;
    float *const squares = moments + tensor->outer * tensor->channels * tensor->inner;
    uint32_t counter = mg_counter_of(tensor, codes, step);
    int32_t i = 0;
    for (int32_t outer = tensor->outer; outer > 0; --outer) {
        for (int32_t channel = 0; channel < tensor->channels; ++channel) {
            const float scale = step->scales[channel];
            const float pace = rate / scale;
            for (const int32_t end = i + tensor->inner; i < end; ++i, counter = mg_random_next(counter)) {
                const float code = (float)mg_code_at(codes, i);
                float g = factor * gradient[i];
                float mean = moments[i], square = squares[i], move;
                if (coupled != 0.0f) {
                    g += coupled * scale * code;
                }
                mean += own.rest1 * (g - mean);
                square += own.rest2 * (g * g - square);
                moments[i] = mean;
                squares[i] = square;
                move = pace * mean / (mg_sqrt(square) * root_factor + own.epsilon);
                if (own.decoupled) {
                    move += decoupled * code;
                }
                mg_move_code(tensor, codes, i, move, counter);
            }
        }
    }
}

#endif
