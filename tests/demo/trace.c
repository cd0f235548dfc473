#include "tests/demo/trace.h"

#include <errno.h>
#include <string.h>

#include <zlib.h>

#include "common/base/check.h"
#include "tests/demo/clf.h"

#define LINE_MAX_BYTES 16384

typedef void line_fn(struct trace *t, const char *line);

struct trace *trace_free(struct trace *t)
{
    if (!t)
        return NULL;
    names_free(t->keys);
    names_free(t->clients);
    free(t->rows);
    free(t);
    return NULL;
}

static void add(struct trace *t, int64_t at_s, const char *key, const char *client)
{
    const struct trace_row row = {
        .at_s = at_s,
        .key = names_number(t->keys, key),
        .client = names_number(t->clients, client),
        .line = (int32_t)t->count,
    };

    if (row.key < 0 || row.client < 0 || t->count == TRACE_ROWS_MAX) {
        t->passed_over++;
        return;
    }
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : 16384;
        t->rows = reallocarray(t->rows, t->room, sizeof(*t->rows));
        CHECK(t->rows != NULL);
    }
    t->rows[t->count++] = row;
}

static void add_trace_line(struct trace *t, const char *line)
{
    long long at_s = 0;
    char key[NAME_SIZE], client[NAME_SIZE];

    if (line[0] == '#')
        return;
    if (sscanf(line, "%lld %64s %64s", &at_s, key, client) != 3 || !name_is_valid(key))
        t->passed_over++;
    else
        add(t, at_s, key, client);
}

static void add_log_line(struct trace *t, const char *line)
{
    struct clf_request request = {0};

    if (clf_parse(line, &request))
        add(t, request.at_s, request.key, request.client);
    else
        t->passed_over++;
}

static gzFile close_input(gzFile f)
{
    if (f)
        (void)gzclose(f);
    return NULL;
}
CLEANUP_DEFINE(input, struct gzFile_s, close_input)

/* An access log is written when requests end, so its times go back a little now and then. */
static int by_time(const void *a, const void *b)
{
    const struct trace_row *x = a, *y = b;

    if (x->at_s != y->at_s)
        return x->at_s < y->at_s ? -1 : 1;
    return x->line - y->line;
}

static bool load(const char *path, line_fn *add_line, struct trace **ret, struct err *e)
{
    auto_trace struct trace *t = calloc(1, sizeof(*t));
    auto_free char *line = malloc(LINE_MAX_BYTES);

    CHECK(t != NULL && line != NULL);
    t->keys = names_new();
    t->clients = names_new();
    /* gzopen reads plain files as well. */
    CLEANUP(input) gzFile in = gzopen(path, "rb");
    if (!in)
        return err_set(e, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    while (gzgets(in, line, LINE_MAX_BYTES))
        add_line(t, line);
    if (t->count == 0)
        return err_set(e, ERR_INVALID, "%s: no line that can be understood", path);
    qsort(t->rows, t->count, sizeof(*t->rows), by_time);
    *ret = TAKE(t);
    return true;
}

bool trace_load(const char *path, struct trace **ret, struct err *e)
{
    return load(path, add_trace_line, ret, e);
}

bool trace_from_log(const char *path, struct trace **ret, struct err *e)
{
    return load(path, add_log_line, ret, e);
}

void trace_write(const struct trace *t, FILE *out)
{
    for (size_t i = 0; i < t->count; i++)
        fprintf(out, "%lld %s %d\n", (long long)t->rows[i].at_s,
                names_text(t->keys, t->rows[i].key), t->rows[i].client + 1);
}
