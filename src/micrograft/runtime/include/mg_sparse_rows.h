/* Joins rows of a weight that lies in two places, of elements of the type MG_SPARSE_ELEMENT. */
#ifndef MG_SPARSE_ROWS_H
#define MG_SPARSE_ROWS_H

#include <stdint.h>

#ifndef MG_SPARSE_ELEMENT
#define MG_SPARSE_ELEMENT float
#endif

typedef struct {
    const MG_SPARSE_ELEMENT *frozen; /* the next row of the frozen weight */
    const MG_SPARSE_ELEMENT *part;   /* what is trained of it, or the next trained row */
    const int32_t *index;
    int32_t chosen; /* inputs, or outputs that are still to come */
    int32_t by_output;
    int32_t taps, channels; /* of a row */
    int32_t output;         /* the next one */
} mg_sparse_rows;

/* The next row, joined, at `row`; behind it. */
static inline MG_SPARSE_ELEMENT *mg_sparse_join(mg_sparse_rows *rows, MG_SPARSE_ELEMENT *row) {
    const int32_t size = rows->taps * rows->channels;
    const int trained = rows->by_output && rows->chosen > 0 && *rows->index == rows->output;
    const MG_SPARSE_ELEMENT *from = trained ? rows->part : rows->frozen;
    for (int32_t i = 0; i < size; ++i) {
        row[i] = from[i];
    }
    if (trained) {
        rows->part += size;
        ++rows->index;
        --rows->chosen;
    }
    for (int32_t tap = rows->by_output ? 0 : rows->taps; tap > 0; --tap) {
        MG_SPARSE_ELEMENT *const to = row + (rows->taps - tap) * rows->channels;
        for (int32_t i = 0; i < rows->chosen; ++i) {
            to[rows->index[i]] = *rows->part++;
        }
    }
    rows->frozen += size;
    ++rows->output;
    return row + size;
}

#endif
