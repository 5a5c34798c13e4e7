#include "mg_linear.h"
#include "mg_products.h"

void mg_linear_weight_gradient_float32(const mg_linear_params *params, const float *x, const float *dy,
                                       float *dw) {
    mg_meeting m;
    m.rows = 1;
    m.columns = params->rows;
    m.left_row = m.right_row = 0;
    m.left_column = params->inputs;
    m.right_column = params->outputs;
    mg_products(&m, x, dy, params->outputs, params->inputs, params->inputs, dw);
}
