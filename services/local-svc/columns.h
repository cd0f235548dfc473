#pragma once

/*
 * columns: rows of ours as the parallel arrays of an unnest() statement, one
 * array a parameter.  The arrays have as many elements as there are rows, and
 * live until columns_done().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/io/db.h"

#define COLUMNS_MAX 21

struct columns {
    size_t rows;
    size_t count;
    struct db_param params[COLUMNS_MAX];
    void *arrays[COLUMNS_MAX];
};

#define COLUMNS_INIT(rows_count) ((struct columns){.rows = (rows_count)})

const char **columns_texts(struct columns *c);
int64_t *columns_i64s(struct columns *c);
bool *columns_bools(struct columns *c);
void columns_done(struct columns *c);

#define auto_columns __attribute__((cleanup(columns_done)))

/* A table of offsets names int64_t members; the SQL beside it names the same in this order. */
void columns_read(const struct db_rows *rows, int row, int first_column, const size_t *offsets,
                  size_t count, void *ret);
int64_t columns_member(const void *from, size_t offset);
