#include "common/io/zones.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clk.h"

#define RELOAD_MS 60000

struct zones {
    pthread_mutex_t mutex;
    struct db *db;
    struct db_rows *names; /* guarded by mutex; sorted bytewise; NULL before the first use */
    int64_t loaded_ms;     /* guarded by mutex */
};

bool zones_new(struct db *db, struct zones **ret, struct err *e)
{
    struct zones *z = calloc(1, sizeof(*z));

    if (z == NULL)
        return err_set(e, ERR_INTERNAL, "out of memory");
    z->db = db;
    CHECK(pthread_mutex_init(&z->mutex, NULL) == 0);
    *ret = z;
    return true;
}

struct zones *zones_free(struct zones *z)
{
    if (z == NULL)
        return NULL;
    (void)db_rows_free(z->names);
    CHECK(pthread_mutex_destroy(&z->mutex) == 0);
    free(z);
    return NULL;
}

static bool contains(const struct db_rows *names, const char *name)
{
    int low = 0, high = names != NULL ? db_count(names) : 0;

    while (low < high) {
        int middle = low + (high - low) / 2;
        int order = strcmp(name, db_get_text(names, middle, 0));
        if (order == 0)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

/* Is it in the list we have?  And if not: may a newer list be asked for? */
static bool look_up(struct zones *z, const char *name, bool *ret_stale)
{
    CHECK(pthread_mutex_lock(&z->mutex) == 0);
    bool found = contains(z->names, name);
    *ret_stale = z->names == NULL || clk_now_ms() - z->loaded_ms >= RELOAD_MS;
    CHECK(pthread_mutex_unlock(&z->mutex) == 0);
    return found;
}

static bool load_tx(struct db_conn *c, void *arg, struct err *e)
{
    struct db_rows **names = arg;

    /* The transaction may run again. */
    *names = db_rows_free(*names);
    return db_query(c, "SELECT name FROM pg_catalog.pg_timezone_names ORDER BY name COLLATE \"C\"",
                    DB_NO_ARGS, names, e);
}

/* Two threads may both do this; then the later list stays.  The mutex is not held meanwhile. */
static bool reload(struct zones *z, struct err *e)
{
    auto_rows struct db_rows *names = NULL;

    if (!db_tx(z->db, load_tx, &names, e))
        return err_while(e, "listing the time zones");

    CHECK(pthread_mutex_lock(&z->mutex) == 0);
    struct db_rows *old = z->names;
    z->names = TAKE(names);
    z->loaded_ms = clk_now_ms();
    CHECK(pthread_mutex_unlock(&z->mutex) == 0);
    (void)db_rows_free(old);
    return true;
}

bool zones_require(struct zones *z, const char *name, const char *pointer, struct err *e)
{
    bool stale = false;

    if (look_up(z, name, &stale))
        return true;
    if (stale) {
        if (!reload(z, e))
            return false;
        if (look_up(z, name, &stale))
            return true;
    }
    return err_at(e, pointer, "is not a time zone that the database knows");
}
