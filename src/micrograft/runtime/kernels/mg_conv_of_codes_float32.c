#include "mg_conv_of_codes.h"
#include "mg_four.h"

/* What a window sees of x: `rows` times `runs` stretches of `length` neighbours, met by as many weights. */
typedef struct {
    int32_t zero;
    int32_t rows, runs, length;
    int32_t x_row, x_run;
    int32_t weight_row, weight_run;
} sight;

/* The sum of products at one output: rows, taps and channels in order. */
static float one_output(const sight *s, const int8_t *x, const float *weight) {
    float sum = 0.0f;
    for (int32_t row = s->rows; row > 0; --row, x += s->x_row, weight += s->weight_row) {
        const int8_t *from = x;
        const float *w = weight;
        for (int32_t run = s->runs; run > 0; --run, from += s->x_run, w += s->weight_run) {
            for (int32_t i = 0; i < s->length; ++i) {
                sum = mg_fma((float)(from[i] - s->zero), w[i], sum);
            }
        }
    }
    return sum;
}

/* The same for four outputs, whose weights are `step` apart: a code is converted once for all of them. */
static mg_four four_outputs(const sight *s, const int8_t *x, const float *weight, int32_t step) {
    mg_four sum = mg_four_zero();
    for (int32_t row = s->rows; row > 0; --row, x += s->x_row, weight += s->weight_row) {
        const int8_t *from = x;
        const float *w = weight;
        for (int32_t run = s->runs; run > 0; --run, from += s->x_run, w += s->weight_run) {
            for (int32_t i = 0; i < s->length; ++i) {
                sum = mg_four_scale_add((float)(from[i] - s->zero), mg_four_column(w, step, i), sum);
            }
        }
    }
    return sum;
}

/* All outputs of one group at one position. */
static void one_group(const mg_conv_of_codes_params *params, const sight *s, const int8_t *x, const float *weight,
                      float *y) {
    const int32_t outputs = params->out_channels / params->groups;
    const int32_t step = params->height.kernel * params->width.kernel * (params->in_channels / params->groups);
    int32_t output = 0;
    for (; output + 4 <= outputs; output += 4, weight += 4 * step) {
        const mg_four sum = four_outputs(s, x, weight, step);
        mg_four_store(mg_four_scale_add(params->x_scale, sum, mg_four_zero()), y + output);
    }
    for (; output < outputs; ++output, weight += step) {
        y[output] = params->x_scale * one_output(s, x, weight);
    }
}

void mg_conv_of_codes_float32(const mg_conv_of_codes_params *params, const int8_t *x, const float *weight, float *y) {
    const mg_axis *const width = &params->width;
    const int32_t taken = params->in_channels / params->groups;
    const int32_t outputs = params->out_channels / params->groups;
    sight s;
    s.zero = params->x_zero;
    s.length = taken;
    s.x_row = params->height.dilation * width->input * params->in_channels;
    s.x_run = width->dilation * params->in_channels;
    s.weight_row = width->kernel * taken;
    s.weight_run = taken;
    for (int32_t row = 0; row < params->height.output; ++row) {
        const mg_overlap down = mg_taps_at(&params->height, row);
        s.rows = down.count;
        for (int32_t column = 0; column < width->output; ++column) {
            const mg_overlap along = mg_taps_at(width, column);
            const float *w = weight + (down.first * width->kernel + along.first) * taken;
            const int8_t *from = x + (down.other * width->input + along.other) * params->in_channels;
            s.runs = along.count;
            for (int32_t group = 0; group < params->groups; ++group, from += taken, y += outputs) {
                one_group(params, &s, from, w + group * outputs * params->height.kernel * s.weight_row, y);
            }
        }
    }
}
