#include "services/migrate/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"

#define FILE_MAX ((size_t)1024 * 1024)
#define UP "-- migrate:up"
#define DOWN "-- migrate:down"

static void close_folder(DIR **p)
{
    if (*p)
        closedir(*p);
}

static void close_file(FILE **p)
{
    if (*p)
        fclose(*p);
}

static bool is_migration(const char *name)
{
    size_t len = strlen(name);

    return len > strlen("NNNN_.sql") && strspn(name, "0123456789") == 4 && name[4] == '_' &&
           strcmp(name + len - 4, ".sql") == 0;
}

static bool read_text(const char *path, char **ret, struct err *e)
{
    __attribute__((cleanup(close_file))) FILE *f = fopen(path, "re");
    auto_buf struct buf text = BUF_INIT(FILE_MAX);
    char piece[4096];
    size_t len = 0;

    if (!f)
        return err_set(e, ERR_INVALID, "%s: %s", path, strerror(errno));
    while ((len = fread(piece, 1, sizeof(piece), f)) > 0)
        buf_add(&text, piece, len);
    if (ferror(f))
        return err_set(e, ERR_INVALID, "%s: cannot be read", path);
    if (buf_failed(&text))
        return err_set(e, ERR_TOO_LARGE, "%s: larger than %zu bytes", path, FILE_MAX);
    if (strlen(buf_text(&text)) != text.len)
        return err_set(e, ERR_INVALID, "%s: contains a NUL byte", path);
    *ret = TAKE(text.data);
    return *ret || err_set(e, ERR_INVALID, "%s: empty", path);
}

/* The line that is exactly `line`, or NULL. */
static const char *find_line(const char *text, const char *line)
{
    size_t len = strlen(line);

    for (const char *p = strstr(text, line); p; p = strstr(p + 1, line)) {
        bool starts = p == text || p[-1] == '\n';
        if (starts && (p[len] == '\n' || p[len] == '\0'))
            return p;
    }
    return NULL;
}

static bool read_migration(const char *folder, struct migration *m, struct err *e)
{
    char path[4096];

    if (snprintf(path, sizeof(path), "%s/%s", folder, m->name) >= (int)sizeof(path))
        return err_set(e, ERR_INVALID, "the name of the folder is too long");
    if (!read_text(path, &m->text, e))
        return false;
    const char *up = find_line(m->text, UP);
    if (!up)
        return err_set(e, ERR_INVALID, "%s has no line \"" UP "\"", m->name);
    if (strstr(m->text, DOWN))
        return err_set(e, ERR_INVALID, "%s has a way down: migrations go forward only", m->name);
    m->up = up + strlen(UP);
    return true;
}

static bool list(const char *folder, struct migrations *m, struct err *e)
{
    __attribute__((cleanup(close_folder))) DIR *dir = opendir(folder);

    if (!dir)
        return err_set(e, ERR_INVALID, "%s: %s", folder, strerror(errno));
    for (const struct dirent *d = readdir(dir); d; d = readdir(dir)) {
        size_t len = strlen(d->d_name);
        if (len < 4 || strcmp(d->d_name + len - 4, ".sql") != 0)
            continue;
        if (!is_migration(d->d_name))
            return err_set(e, ERR_INVALID, "%s is not named NNNN_what.sql", d->d_name);
        if (m->count == MIGRATIONS_MAX)
            return err_set(e, ERR_INVALID, "more than %d migrations", MIGRATIONS_MAX);
        struct migration *row = &m->rows[m->count++];
        snprintf(row->version, sizeof(row->version), "%.4s", d->d_name);
        snprintf(row->name, sizeof(row->name), "%s", d->d_name);
    }
    return m->count > 0 || err_set(e, ERR_INVALID, "%s has no migrations", folder);
}

static int by_name(const void *a, const void *b)
{
    const struct migration *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static bool check_versions(const struct migrations *m, struct err *e)
{
    for (size_t i = 1; i < m->count; i++) {
        if (strcmp(m->rows[i - 1].version, m->rows[i].version) == 0)
            return err_set(e, ERR_INVALID, "%s and %s have one version", m->rows[i - 1].name,
                           m->rows[i].name);
    }
    return true;
}

bool migrations_read(const char *folder, struct migrations **ret, struct err *e)
{
    auto_migrations struct migrations *m = calloc(1, sizeof(*m));

    if (!m)
        return err_set(e, ERR_INTERNAL, "out of memory");
    if (!list(folder, m, e))
        return false;
    qsort(m->rows, m->count, sizeof(m->rows[0]), by_name);
    if (!check_versions(m, e))
        return false;
    for (size_t i = 0; i < m->count; i++) {
        if (!read_migration(folder, &m->rows[i], e))
            return false;
    }
    *ret = TAKE(m);
    return true;
}

struct migrations *migrations_free(struct migrations *m)
{
    if (!m)
        return NULL;
    for (size_t i = 0; i < m->count; i++)
        free(m->rows[i].text);
    free(m);
    return NULL;
}
