#include "mg_softmax_int8.h"

#include "mg_fixed_point.h"

/* x * 2^places, saturated. */
static int32_t saturating_left(int32_t x, int32_t places) {
    const int64_t wide = (int64_t)x * ((int64_t)1 << places);
    return wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
}

/* e^a for a in [-1/4, 0), both with 31 fractional bits: Taylor's series around -1/8. */
static int32_t exp_near_zero(int32_t a) {
    const int32_t start = 1895147668; /* e^(-1/8) */
    const int32_t x = a + (1 << 28);
    const int32_t x2 = mg_doubled_high(x, x);
    const int32_t x3 = mg_doubled_high(x2, x);
    const int32_t x4 = mg_doubled_high(x2, x2);
    const int32_t third = mg_doubled_high(mg_divided(x4, 2) + x3, 715827883);
    return start + mg_doubled_high(start, x + mg_divided(third + x2, 1));
}

/* e^a for a <= 0 with 26 fractional bits; the result has 31. */
static int32_t exp_of(int32_t a) {
    static const int32_t powers[] = {/* e^(-1/4), e^(-1/2), e^(-1) .. e^(-16) */
                                     1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    const int32_t quarter = 1 << 24;
    const int32_t part = (a & (quarter - 1)) - quarter;
    const int32_t rest = part - a;
    int32_t result = exp_near_zero(saturating_left(part, 5));
    if (a == 0) {
        return INT32_MAX;
    }
    for (int32_t bit = 0; bit < 7; ++bit) {
        if (rest & (quarter << bit)) {
            result = mg_doubled_high(result, powers[bit]);
        }
    }
    return result;
}

/* Zeros in front of the highest one of x > 0. */
static int32_t headroom(int32_t x) {
    int32_t count = 0;
    for (uint32_t bits = (uint32_t)x; !(bits >> 31); bits <<= 1) {
        ++count;
    }
    return count;
}

/* 1 / (1 + a) for a in [0, 1), both with 31 fractional bits: three steps of Newton's method. */
static int32_t one_over_one_plus(int32_t a) {
    const int32_t half = (int32_t)(((int64_t)a + INT32_MAX + 1) / 2);
    int32_t x = 1515870810 + mg_doubled_high(half, -1010580540); /* 48/17 - 32/17 half, 29 fractional bits */
    for (int32_t i = 0; i < 3; ++i) {
        const int32_t rest = (1 << 29) - mg_doubled_high(half, x);
        x += saturating_left(mg_doubled_high(x, rest), 2);
    }
    return saturating_left(x, 1);
}

static int32_t power(const mg_softmax_int8_params *params, int32_t difference) {
    return exp_of(mg_doubled_high(mg_shifted_left(difference, params->left), params->multiplier));
}

static int32_t largest(const int8_t *x, int32_t columns) {
    int32_t found = x[0];
    for (int32_t i = 1; i < columns; ++i) {
        found = x[i] > found ? x[i] : found;
    }
    return found;
}

void mg_softmax_int8(const mg_softmax_int8_params *params, const int8_t *x, int8_t *y) {
    const int32_t columns = params->columns;
    for (int32_t row = 0; row < params->rows; ++row, x += columns, y += columns) {
        const int32_t top = largest(x, columns);
        int32_t sum = 0; /* of the powers, with 12 integer bits */
        for (int32_t i = 0; i < columns; ++i) {
            if (x[i] - top >= params->smallest) {
                sum += mg_divided(power(params, x[i] - top), 12);
            }
        }
        const int32_t places = headroom(sum);
        const int32_t scale = one_over_one_plus((int32_t)(((uint32_t)sum << places) - ((uint32_t)1 << 31)));
        for (int32_t i = 0; i < columns; ++i) {
            int32_t code = -128;
            if (x[i] - top >= params->smallest) {
                code += mg_divided(mg_doubled_high(scale, power(params, x[i] - top)), 12 - places + 31 - 8);
            }
            y[i] = mg_clamped(code, -128, 127);
        }
    }
}
