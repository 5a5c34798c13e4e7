#include "mg_linear_int8.h"

#include "mg_conv_core_int8.h"

void mg_linear_int8(const mg_linear_int8_params *params, const int8_t *x, const int8_t *weight,
                    const mg_channels *channels, int16_t *columns, int8_t *y) {
    const int32_t inputs = params->inputs, outputs = params->outputs;
    const mg_way none = {0, 0, 0, 0};
    for (int32_t row = 0; row < params->rows; row += 2, x += 2 * inputs, y += 2 * outputs) {
        const int pair = row + 1 < params->rows;
        mg_put_codes(columns, 0, 0, x, params->x_zero, inputs);
        mg_put_codes(columns, 1, 0, pair ? x + inputs : x, params->x_zero, inputs);
        mg_conv_outputs_int8(0, &params->y, columns, inputs, weight, channels, &none, &none, 0, outputs, y,
                             pair ? outputs : 0);
    }
}
