#include "mg_conv.h"
#include "mg_four.h"

/* What a window sees of x: `rows` times `runs` stretches of `length` neighbours, met by as many weights. */
typedef struct {
    const float *x;
    int32_t rows, runs, length;
    int32_t x_row, x_run, x_next; /* to the next row, run, and position */
    int32_t weight_row, weight_run, weight_output;
} sight;

/* Adds one output's products to sum: rows, taps and channels in order. */
static float one_output(const sight *s, const float *weight, float sum) {
    const float *from = s->x;
    for (int32_t row = s->rows; row > 0; --row, from += s->x_row, weight += s->weight_row) {
        const float *x = from;
        const float *w = weight;
        for (int32_t run = s->runs; run > 0; --run, x += s->x_run, w += s->weight_run) {
            for (int32_t i = 0; i < s->length; ++i) {
                sum = mg_fma(x[i], w[i], sum);
            }
        }
    }
    return sum;
}

/* The same for four outputs. */
static mg_four four_outputs(const sight *s, const float *weight, mg_four sum) {
    const float *from = s->x;
    for (int32_t row = s->rows; row > 0; --row, from += s->x_row, weight += s->weight_row) {
        const float *x = from;
        const float *w = weight;
        for (int32_t run = s->runs; run > 0; --run, x += s->x_run, w += s->weight_run) {
            sum = mg_four_dot(x, w, s->weight_output, s->length, sum);
        }
    }
    return sum;
}

/* The same for four outputs at this position and at the next. */
static mg_eight two_positions(const sight *s, const float *weight, mg_four start) {
    const float *from = s->x;
    mg_eight sum;
    sum.first = sum.second = start;
    for (int32_t row = s->rows; row > 0; --row, from += s->x_row, weight += s->weight_row) {
        const float *x = from;
        const float *w = weight;
        for (int32_t run = s->runs; run > 0; --run, x += s->x_run, w += s->weight_run) {
            sum = mg_eight_dot(x, x + s->x_next, w, s->weight_output, s->length, sum);
        }
    }
    return sum;
}

/* All outputs of one group, at one position or at two. */
static void one_group(const sight *s, const float *weight, const float *bias, int32_t outputs, float *y,
                      float *y_next) {
    int32_t output = 0;
    for (; output + 4 <= outputs; output += 4, weight += 4 * s->weight_output) {
        const mg_four start = bias ? mg_four_load(bias + output) : mg_four_zero();
        if (y_next) {
            const mg_eight sum = two_positions(s, weight, start);
            mg_four_store(sum.first, y + output);
            mg_four_store(sum.second, y_next + output);
        } else {
            mg_four_store(four_outputs(s, weight, start), y + output);
        }
    }
    for (; output < outputs; ++output, weight += s->weight_output) {
        const float start = bias ? bias[output] : 0.0f;
        y[output] = one_output(s, weight, start);
        if (y_next) {
            sight next = *s;
            next.x += s->x_next;
            y_next[output] = one_output(&next, weight, start);
        }
    }
}

void mg_conv_float32(const mg_conv_params *params, const float *x, const float *weight, const float *bias, float *y) {
    const mg_axis *const width = &params->width;
    const int32_t channels = params->in_channels;
    const int32_t taken = channels / params->groups;
    const int32_t outputs = params->out_channels / params->groups;
    const int joined = params->groups == 1 && width->dilation == 1; /* a row of taps is one stretch */
    sight s;
    s.x_row = params->height.dilation * width->input * channels;
    s.x_run = width->dilation * channels;
    s.x_next = width->stride * channels;
    s.weight_row = width->kernel * taken;
    s.weight_run = taken;
    s.weight_output = params->height.kernel * width->kernel * taken;
    for (int32_t row = 0; row < params->height.output; ++row) {
        const mg_overlap down = mg_taps_at(&params->height, row);
        s.rows = down.count;
        for (int32_t column = 0, positions; column < width->output; column += positions) {
            const mg_overlap along = mg_taps_at(width, column);
            const mg_overlap ahead = mg_taps_at(width, column + 1);
            const int same = ahead.first == along.first && ahead.count == along.count;
            const float *w = weight + (down.first * width->kernel + along.first) * taken;
            positions = same && column + 1 < width->output ? 2 : 1;
            s.x = x + (down.other * width->input + along.other) * channels;
            s.runs = joined ? 1 : along.count;
            s.length = joined ? along.count * channels : taken;
            for (int32_t from = 0; from < params->out_channels; from += outputs, s.x += taken, y += outputs) {
                float *next = positions == 2 ? y + params->out_channels : 0;
                one_group(&s, w + from * s.weight_output, bias ? bias + from : 0, outputs, y, next);
            }
            y += (positions - 1) * params->out_channels;
        }
    }
}
