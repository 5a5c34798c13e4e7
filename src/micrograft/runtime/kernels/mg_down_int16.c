#include "mg_coded.h"
#include "mg_sight_int8.h"

static int16_t narrowed(int32_t sum, int32_t places) {
    const int32_t code = places == 0 ? sum : ((sum >> (places - 1)) + 1) >> 1;
    return (int16_t)(code < -32767 ? -32767 : code > 32767 ? 32767 : code);
}

void mg_down_int16(const mg_down_params *params, const int8_t *x, const int8_t *weight, int16_t *y) {
    const mg_axis *const width = &params->width;
    const int32_t taken = params->in_channels / params->groups;
    const int32_t outputs = params->out_channels / params->groups;
    mg_sight s;
    s.zero = params->x_zero;
    s.x_row = params->height.dilation * width->input * params->in_channels;
    s.x_run = width->dilation * params->in_channels;
    s.weight_row = width->kernel * taken;
    s.weight_run = taken;
    s.weight_output = params->height.kernel * width->kernel * taken;
    s.length = taken;
    for (int32_t row = 0; row < params->height.output; ++row) {
        const mg_overlap down = mg_taps_at(&params->height, row);
        s.rows = down.count;
        for (int32_t column = 0; column < width->output; ++column) {
            const mg_overlap along = mg_taps_at(width, column);
            const int8_t *w = weight + (down.first * width->kernel + along.first) * taken;
            s.x = x + (down.other * width->input + along.other) * params->in_channels;
            s.runs = along.count;
            for (int32_t from = 0; from < params->out_channels; from += outputs, s.x += taken) {
                const int8_t *tap = w + from * s.weight_output;
                int32_t left = outputs;
                for (; left >= 4; left -= 4, tap += 4 * s.weight_output, y += 4) {
                    mg_four_sums sums = {0, 0, 0, 0};
                    mg_sight_four_int8(&s, tap, &sums);
                    y[0] = narrowed(sums.a, params->places);
                    y[1] = narrowed(sums.b, params->places);
                    y[2] = narrowed(sums.c, params->places);
                    y[3] = narrowed(sums.d, params->places);
                }
                for (; left > 0; --left, tap += s.weight_output) {
                    *y++ = narrowed(mg_sight_one(&s, tap, 0), params->places);
                }
            }
        }
    }
}
