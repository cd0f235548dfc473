#include "services/remote-svc/outgoing.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "common/base/check.h"
#include "common/base/num.h"
#include "services/remote-svc/told.h"

#define KEY_SIZE (NAME_SIZE + TIME_TEXT_SIZE)
#define TOLD_MAX 100000 /* windows, with 16 to 64 bytes each */

/* A database that was restored counts its versions again, in a higher incarnation. */
struct age {
    int64_t incarnation, version;
};

struct waiting_row {
    char key[KEY_SIZE]; /* "cap/starts_at" */
    struct age age;
    char *text;
    size_t len;
    UT_hash_handle hh; /* iterates in the order in which they came */
};

struct outgoing {
    pthread_mutex_t lock;
    struct waiting_row *rows;
    struct told *told;
    int64_t rows_max;
};

struct outgoing *outgoing_new(int64_t rows_max)
{
    struct outgoing *o = calloc(1, sizeof(*o));

    CHECK(o && pthread_mutex_init(&o->lock, NULL) == 0);
    o->rows_max = rows_max;
    o->told = told_new(TOLD_MAX);
    return o;
}

static void remove_row(struct outgoing *o, struct waiting_row *row)
{
    HASH_DEL(o->rows, row);
    free(row->text);
    free(row);
}

static void remove_all(struct outgoing *o)
{
    struct waiting_row *row = NULL, *next = NULL;

    HASH_ITER(hh, o->rows, row, next)
    {
        remove_row(o, row);
    }
}

struct outgoing *outgoing_free(struct outgoing *o)
{
    if (!o)
        return NULL;
    remove_all(o);
    (void)told_free(o->told);
    (void)pthread_mutex_destroy(&o->lock);
    free(o);
    return NULL;
}

static bool key_of(struct span row, char ret[KEY_SIZE])
{
    char cap[NAME_SIZE], starts_at[TIME_TEXT_SIZE];

    if (!span_member_text(row, "cap", cap, sizeof(cap)) ||
        !span_member_text(row, "starts_at", starts_at, sizeof(starts_at)))
        return false;
    (void)snprintf(ret, KEY_SIZE, "%s/%s", cap, starts_at);
    return true;
}

/* The row of this key, new if need be; NULL if it is full. */
static struct waiting_row *row_for(struct outgoing *o, const char *key)
{
    struct waiting_row *row = NULL;

    HASH_FIND_STR(o->rows, key, row);
    if (row || (int64_t)HASH_COUNT(o->rows) >= o->rows_max)
        return row;
    row = calloc(1, sizeof(*row));
    CHECK(row);
    (void)snprintf(row->key, sizeof(row->key), "%s", key);
    HASH_ADD_STR(o->rows, key, row);
    return row;
}

static struct age age_of(struct span row)
{
    struct age age = {0};

    (void)span_member_i64(row, "incarnation", &age.incarnation);
    (void)span_member_i64(row, "version", &age.version);
    return age;
}

static bool is_older(struct age a, struct age than)
{
    return a.incarnation < than.incarnation ||
           (a.incarnation == than.incarnation && a.version < than.version);
}

/* Under the lock. */
static bool put(struct outgoing *o, const char *key, struct span text)
{
    struct waiting_row *row = row_for(o, key);
    const struct age age = age_of(text);

    if (row && !is_older(age, row->age)) {
        free(row->text);
        row->text = strndup(text.text, text.len);
        CHECK(row->text);
        row->len = text.len;
        row->age = age;
    }
    return row != NULL;
}

bool outgoing_put(struct outgoing *o, struct span row)
{
    char key[KEY_SIZE];

    if (!key_of(row, key))
        return false;
    CHECK(pthread_mutex_lock(&o->lock) == 0);
    bool ok = put(o, key, row);
    CHECK(pthread_mutex_unlock(&o->lock) == 0);
    return ok;
}

bool outgoing_put_untold(struct outgoing *o, struct span row, bool *ret_put)
{
    char key[KEY_SIZE];

    *ret_put = false;
    if (!key_of(row, key))
        return false;
    CHECK(pthread_mutex_lock(&o->lock) == 0);
    bool is_told = told_is(o->told, key, row);
    *ret_put = !is_told && put(o, key, row);
    CHECK(pthread_mutex_unlock(&o->lock) == 0);
    return is_told || *ret_put;
}

int64_t outgoing_take(struct outgoing *o, int64_t max, size_t bytes_max, struct buf *out)
{
    struct waiting_row *row = NULL, *next = NULL;
    const size_t before = out->len;
    int64_t taken = 0;

    CHECK(pthread_mutex_lock(&o->lock) == 0);
    HASH_ITER(hh, o->rows, row, next)
    {
        if (taken == max || (taken > 0 && out->len - before + row->len >= bytes_max))
            break;
        buf_str(out, taken > 0 ? "," : "");
        buf_add(out, row->text, row->len);
        told_note(o->told, row->key, (struct span){.text = row->text, .len = row->len});
        remove_row(o, row);
        taken++;
    }
    CHECK(pthread_mutex_unlock(&o->lock) == 0);
    return taken;
}

int64_t outgoing_count(struct outgoing *o)
{
    CHECK(pthread_mutex_lock(&o->lock) == 0);
    int64_t count = HASH_COUNT(o->rows);
    CHECK(pthread_mutex_unlock(&o->lock) == 0);
    return count;
}

void outgoing_forget(struct outgoing *o)
{
    CHECK(pthread_mutex_lock(&o->lock) == 0);
    told_forget(o->told);
    CHECK(pthread_mutex_unlock(&o->lock) == 0);
}

void outgoing_clear(struct outgoing *o)
{
    CHECK(pthread_mutex_lock(&o->lock) == 0);
    remove_all(o);
    told_forget(o->told);
    CHECK(pthread_mutex_unlock(&o->lock) == 0);
}

void outgoing_sweep(struct outgoing *o)
{
    CHECK(pthread_mutex_lock(&o->lock) == 0);
    told_sweep(o->told);
    CHECK(pthread_mutex_unlock(&o->lock) == 0);
}
