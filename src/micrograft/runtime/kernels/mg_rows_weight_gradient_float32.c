#include "mg_products.h"
#include "mg_recurrent.h"

void mg_rows_weight_gradient_float32(const mg_rows_params *params, const float *x, const float *dy, float *dw) {
    mg_meeting m;
    m.rows = 1;
    m.columns = params->rows;
    m.left_row = m.right_row = 0;
    m.left_column = params->x_step;
    m.right_column = params->dy_step;
    mg_products(&m, x, dy, params->outputs, params->inputs, params->inputs, dw);
}
