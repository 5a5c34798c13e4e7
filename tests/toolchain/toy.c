/* A small program with something in every section: constants in flash, variables with and without a start
 * value, and a sequence of float operations whose bits can be compared between machines. */
#include "mg_math.h"

static const float table[8] = {1.5f, 2.25f, 3.1f, -4.7f, 0.1f, 9.9f, -3.3f, 0.7f};
static float factor = 0.75f;
static uint32_t steps;

float toy_step(float *state, uint32_t count, float rate);
uint32_t toy_steps(void);
int32_t toy_sum(int32_t a, int32_t b, int32_t c, int32_t d, int32_t e, int32_t f);

float toy_step(float *state, uint32_t count, float rate) {
    float sum = 0.0f;
    uint32_t i;
    for (i = 0; i < count; i++) {
        state[i] = mg_fma(rate, mg_tanh(table[i % 8u] + state[i]), mg_exp(-state[i]) * factor);
        state[i] += mg_sqrt(mg_log(2.0f + state[i] * state[i]));
        sum = mg_fma(state[i], table[(i + steps) % 8u], sum);
    }
    factor = mg_fma(-0.01f, factor, factor);
    steps++;
    return sum;
}

uint32_t toy_steps(void) {
    return steps;
}

int32_t toy_sum(int32_t a, int32_t b, int32_t c, int32_t d, int32_t e, int32_t f) {
    return a + 10 * (b + 10 * (c + 10 * (d + 10 * (e + 10 * f))));
}
