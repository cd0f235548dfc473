#include "services/remote-svc/told.h"

#include <stdint.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/num.h"

#define SLOTS_MIN 64

struct slot {
    uint64_t key; /* 0: free */
    uint64_t row; /* the lowest bit: noted or asked about since the last sweep */
};

/* Open addressing; never more than half full. */
struct told {
    struct slot *slots;
    size_t size, used, rows_max;
};

static struct slot *new_slots(size_t size)
{
    struct slot *slots = calloc(size, sizeof(*slots));

    CHECK(slots != NULL);
    return slots;
}

struct told *told_new(size_t rows_max)
{
    struct told *t = calloc(1, sizeof(*t));

    CHECK(t != NULL);
    t->rows_max = rows_max;
    t->size = SLOTS_MIN;
    t->slots = new_slots(t->size);
    return t;
}

struct told *told_free(struct told *t)
{
    if (!t)
        return NULL;
    free(t->slots);
    free(t);
    return NULL;
}

static uint64_t hash_span(struct span s)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ (unsigned char)s.text[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* Its slot, or the free one where it belongs. */
static struct slot *find(const struct told *t, uint64_t key)
{
    size_t at = (size_t)(key ^ key >> 32);

    while (t->slots[at % t->size].key != 0 && t->slots[at % t->size].key != key)
        at++;
    return &t->slots[at % t->size];
}

static uint64_t key_of(const char *key)
{
    uint64_t hash = hash_text(key);

    return hash != 0 ? hash : 1;
}

/* Into a table of that size, with or without those that nobody spoke of. */
static void rebuild(struct told *t, size_t size, bool all)
{
    const struct told old = *t;

    t->slots = new_slots(size);
    t->size = size;
    t->used = 0;
    for (size_t i = 0; i < old.size; i++) {
        struct slot s = old.slots[i];
        if (s.key == 0 || !(all || (s.row & 1)))
            continue;
        s.row = all ? s.row : s.row & ~UINT64_C(1);
        *find(t, s.key) = s;
        t->used++;
    }
    free(old.slots);
}

bool told_is(struct told *t, const char *key, struct span row)
{
    struct slot *s = find(t, key_of(key));

    if (s->key == 0)
        return false;
    s->row |= 1;
    return s->row == (hash_span(row) | 1);
}

void told_note(struct told *t, const char *key, struct span row)
{
    uint64_t hash = key_of(key);
    struct slot *s = find(t, hash);

    if (s->key == 0) {
        if (t->used == t->rows_max)
            return;
        if (2 * (t->used + 1) > t->size)
            rebuild(t, 2 * t->size, true);
        s = find(t, hash);
        t->used++;
    }
    *s = (struct slot){.key = hash, .row = hash_span(row) | 1};
}

void told_forget(struct told *t)
{
    free(t->slots);
    t->size = SLOTS_MIN;
    t->used = 0;
    t->slots = new_slots(t->size);
}

void told_sweep(struct told *t)
{
    rebuild(t, t->size, false);
}

size_t told_count(const struct told *t)
{
    return t->used;
}
