#include "mg_linear_int8.h"
#include "mg_streamed_conv_int8.h"

/* What a stage reads: rows [first, first + count) of its input, of `width` bytes each. */
typedef struct {
    const int8_t *rows;
    int32_t first, count, width;
} view;

static int32_t larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static int32_t row_width(const mg_stage *stage) {
    return stage->conv.width.output * stage->conv.out_channels;
}

/* The first row of its input that row `row` of a stage reads. */
static int32_t first_read(const mg_axis *height, int32_t row) {
    return larger(0, row * height->stride - height->padding);
}

/* Whether rows that row `row` of a stage reads are still to come. */
static int lacks(const mg_axis *height, const view *from, int32_t row) {
    const int32_t end = row * height->stride - height->padding + (height->kernel - 1) * height->dilation + 1;
    return from->first + from->count < (end < height->input ? end : height->input);
}

/* One row of a stage's output. */
static void compute(const mg_stage *stage, const view *from, const int8_t *weight, const mg_channels *channels,
                    int32_t row, int16_t *columns, int8_t *y) {
    mg_conv_int8_params conv = stage->conv;
    if (stage->kind == MG_STAGE_LINEAR) {
        const mg_linear_int8_params linear = {conv.width.output, conv.in_channels, conv.out_channels, conv.x_zero,
                                              conv.y};
        mg_linear_int8(&linear, from->rows + (row - from->first) * from->width, weight, channels, columns, y);
        return;
    }
    conv.height.padding += from->first - row * conv.height.stride;
    conv.height.input = from->count;
    conv.height.output = 1;
    if (stage->kind == MG_STAGE_DEPTHWISE) {
        mg_depthwise_conv_int8(&conv, from->rows, weight, channels, columns, y);
    } else {
        mg_conv_int8(&conv, from->rows, weight, channels, columns, y);
    }
}

/* Room for one more row behind those that are held, of which the ones before row `needed` are let go. */
static int8_t *next_row(view *into, int8_t *held, int32_t room, int32_t needed) {
    if (into->count == room) {
        const int32_t gone = needed - into->first < into->count ? needed - into->first : into->count;
        const int32_t kept = (into->count - gone) * into->width;
        const int8_t *from = held + gone * into->width;
        for (int32_t i = 0; i < kept; ++i) {
            held[i] = from[i];
        }
        into->first += gone;
        into->count -= gone;
    }
    return held + into->count++ * into->width;
}

void mg_streamed_conv_int8(const mg_streamed_conv_int8_params *params, const int8_t *x, const mg_stage_weights *weights,
                           int8_t *held, int8_t *y) {
    const mg_stage *const stages = params->stages;
    const int32_t last = params->count - 1;
    int8_t *rooms[MG_STAGES]; /* where the output of each stage but the last is held */
    view views[MG_STAGES];
    int16_t *const columns = (int16_t *)(void *)held;
    held += params->columns;
    views[0].rows = x;
    views[0].first = 0;
    views[0].count = stages[0].conv.height.input;
    views[0].width = stages[0].conv.width.input * stages[0].conv.in_channels;
    for (int32_t stage = 0; stage < last; ++stage) {
        view *const next = &views[stage + 1];
        rooms[stage] = held;
        next->rows = held;
        next->first = next->count = 0;
        next->width = row_width(&stages[stage]);
        held += stages[stage].held * next->width;
    }
    for (int32_t row = 0; row < stages[last].conv.height.output;) {
        int32_t stage = last; /* the one nearest to the end that has all that it reads */
        int32_t its_row = row;
        int8_t *to = y;
        while (stage > 0 && lacks(&stages[stage].conv.height, &views[stage], its_row)) {
            its_row = views[stage].first + views[stage].count;
            --stage;
        }
        if (stage == last) {
            y += row_width(&stages[last]);
            ++row;
        } else {
            const mg_stage *const reader = &stages[stage + 1];
            const int32_t reading = stage + 1 == last ? row : views[stage + 2].first + views[stage + 2].count;
            to = next_row(&views[stage + 1], rooms[stage], stages[stage].held,
                          first_read(&reader->conv.height, reading));
        }
        compute(&stages[stage], &views[stage], weights->weight[stage], &weights->channels[stage], its_row, columns, to);
    }
}
