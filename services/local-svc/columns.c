#include "services/local-svc/columns.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

static void *add(struct columns *c, struct db_param param, size_t element)
{
    /* One byte more, so that no rows are still an array. */
    void *array = calloc(c->rows + 1, element);

    CHECK(array != NULL && c->count < COLUMNS_MAX);
    c->arrays[c->count] = array;
    c->params[c->count] = param;
    return c->arrays[c->count++];
}

const char **columns_texts(struct columns *c)
{
    const char **array =
        add(c, (struct db_param){.type = DB_TEXTS, .count = c->rows}, sizeof(const char *));

    c->params[c->count - 1].texts = array;
    return array;
}

int64_t *columns_i64s(struct columns *c)
{
    int64_t *array = add(c, (struct db_param){.type = DB_I64S, .count = c->rows}, sizeof(int64_t));

    c->params[c->count - 1].numbers = array;
    return array;
}

bool *columns_bools(struct columns *c)
{
    bool *array = add(c, (struct db_param){.type = DB_BOOLS, .count = c->rows}, sizeof(bool));

    c->params[c->count - 1].bools = array;
    return array;
}

void columns_done(struct columns *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->arrays[i]);
    c->count = 0;
}

void columns_read(const struct db_rows *rows, int row, int first_column, const size_t *offsets,
                  size_t count, void *ret)
{
    for (size_t i = 0; i < count; i++) {
        int64_t value = db_get_i64(rows, row, first_column + (int)i);

        memcpy((char *)ret + offsets[i], &value, sizeof(value));
    }
}

int64_t columns_member(const void *from, size_t offset)
{
    int64_t value = 0;

    memcpy(&value, (const char *)from + offset, sizeof(value));
    return value;
}
