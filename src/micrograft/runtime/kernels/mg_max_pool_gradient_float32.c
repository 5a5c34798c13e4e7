#include "mg_pool.h"

void mg_max_pool_gradient_float32(const mg_max_pool_params *params, const float *dy, const void *index, float *dx) {
    const mg_axis *const height = &params->height;
    const mg_axis *const width = &params->width;
    const int32_t channels = params->channels;
    const uint8_t *narrow = params->index_bytes == 1 ? index : 0;
    const int32_t *wide = params->index_bytes == 4 ? index : 0;
    for (int32_t i = 0; i < height->input * width->input * channels; ++i) {
        dx[i] = 0.0f;
    }
    for (int32_t position = 0; position < height->output; ++position) {
        for (int32_t column = 0; column < width->output; ++column) {
            for (int32_t channel = 0; channel < channels; ++channel) {
                const int32_t tap = narrow ? *narrow++ : *wide++;
                const int32_t down = tap / width->kernel;
                const int32_t along = tap - down * width->kernel;
                const int32_t y = position * height->stride + down * height->dilation - height->padding;
                const int32_t x = column * width->stride + along * width->dilation - width->padding;
                dx[(y * width->input + x) * channels + channel] += *dy++;
            }
        }
    }
}
