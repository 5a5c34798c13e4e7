#include "mg_coded.h"
#include "mg_math.h"

void mg_down_weight_gradient_float32(const mg_linear_params *params, const int16_t *down, const float *dy, float *dw) {
    const int32_t inputs = params->inputs;
    const int32_t outputs = params->outputs;
    for (int32_t output = 0; output < outputs; ++output) {
        for (int32_t input = 0; input < inputs; ++input) {
            float sum = 0.0f;
            for (int32_t row = 0; row < params->rows; ++row) {
                sum = mg_fma((float)down[row * inputs + input], dy[row * outputs + output], sum);
            }
            *dw++ = sum;
        }
    }
}
