#include "common/io/db_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"

/* From PostgreSQL's catalogue pg_type: these never change. */
static const Oid oids[] = {
    [DB_NULL] = 0, /* whatever the statement makes of it */
    [DB_I64] = 20,    [DB_TEXT] = 25,    [DB_BOOL] = 16,
    [DB_I64S] = 1016, [DB_TEXTS] = 1009, [DB_BOOLS] = 1000,
};

#define TYPE_BITS 3 /* enough for enum db_type; DB_PARAMS_MAX of them fit in 64 bits */

static void add_i64s(struct buf *b, const struct db_param *p)
{
    for (size_t i = 0; i < p->count; i++)
        buf_printf(b, "%s%" PRId64, i ? "," : "", p->numbers[i]);
}

static void add_bools(struct buf *b, const struct db_param *p)
{
    for (size_t i = 0; i < p->count; i++)
        buf_printf(b, "%s%c", i ? "," : "", p->bools[i] ? 't' : 'f');
}

/* Quoted always, so that "NULL", commas, braces and the empty text need no thought. */
static void add_quoted(struct buf *b, const char *text)
{
    buf_add(b, "\"", 1);
    while (*text) {
        size_t plain = strcspn(text, "\"\\");

        buf_add(b, text, plain);
        text += plain;
        if (*text) {
            buf_add(b, "\\", 1);
            buf_add(b, text++, 1);
        }
    }
    buf_add(b, "\"", 1);
}

static void add_texts(struct buf *b, const struct db_param *p)
{
    for (size_t i = 0; i < p->count; i++) {
        if (i)
            buf_add(b, ",", 1);
        if (p->texts[i])
            add_quoted(b, p->texts[i]);
        else
            buf_str(b, "NULL");
    }
}

static const char *array(struct buf *b, const struct db_param *p,
                         void (*elements)(struct buf *b, const struct db_param *p))
{
    buf_add(b, "{", 1);
    elements(b, p);
    buf_add(b, "}", 1);
    return buf_text(b);
}

static const char *value(struct db_params *all, size_t i, const struct db_param *p)
{
    switch (p->type) {
    case DB_NULL: return NULL;
    case DB_TEXT: return p->text;
    case DB_BOOL: return p->number ? "t" : "f";
    case DB_I64:
        snprintf(all->numbers[i], sizeof(all->numbers[i]), "%" PRId64, p->number);
        return all->numbers[i];
    case DB_I64S: return array(&all->arrays[i], p, add_i64s);
    case DB_TEXTS: return array(&all->arrays[i], p, add_texts);
    case DB_BOOLS: return array(&all->arrays[i], p, add_bools);
    }
    CHECK(!"a type of parameter");
    return NULL;
}

bool db_params_init(struct db_params *p, const struct db_param *params, size_t count, struct err *e)
{
    CHECK(count <= DB_PARAMS_MAX);

    *p = (struct db_params){.types = 1};
    for (size_t i = 0; i < count; i++) {
        p->values[i] = value(p, i, &params[i]);
        p->oids[i] = oids[params[i].type];
        p->types = p->types << TYPE_BITS | params[i].type;
        if (buf_failed(&p->arrays[i]))
            return err_set(e, ERR_TOO_LARGE, "parameter %zu is too large", i + 1);
    }
    return true;
}

void db_params_done(struct db_params *p)
{
    for (size_t i = 0; i < DB_PARAMS_MAX; i++)
        buf_done(&p->arrays[i]);
}
