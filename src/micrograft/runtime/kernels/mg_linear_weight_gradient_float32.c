#include "mg_linear.h"
#include "mg_products.h"

/* One row: each product is stored once, so there is nothing to keep in registers but dy. */
static void outer_product(const mg_linear_params *params, const float *x, const float *dy, float *dw) {
    const int32_t inputs = params->inputs;
    for (int32_t output = 0; output < params->outputs; ++output) {
        const float factor = dy[output];
        int32_t input = 0;
        for (; input + 4 <= inputs; input += 4, dw += 4) {
            dw[0] = factor * x[input];
            dw[1] = factor * x[input + 1];
            dw[2] = factor * x[input + 2];
            dw[3] = factor * x[input + 3];
        }
        for (; input < inputs; ++input) {
            *dw++ = factor * x[input];
        }
    }
}

void mg_linear_weight_gradient_float32(const mg_linear_params *params, const float *x, const float *dy,
                                       float *dw) {
    mg_meeting m;
    if (params->rows == 1) {
        outer_product(params, x, dy, dw);
        return;
    }
    m.rows = 1;
    m.columns = params->rows;
    m.left_row = m.right_row = 0;
    m.left_column = params->inputs;
    m.right_column = params->outputs;
    mg_products(&m, x, dy, params->outputs, params->inputs, params->inputs, dw);
}
