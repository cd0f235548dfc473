#include "tests/demo/names.h"

#include <string.h>

#include "common/base/check.h"

#define SLOTS (1 << 19) /* more than twice NAMES_MAX: a probe always finds a free slot */

_Static_assert(SLOTS > 2 * NAMES_MAX, "the table of slots is at most half full");

struct names {
    size_t count;
    char texts[NAMES_MAX][NAME_SIZE];
    int32_t slots[SLOTS]; /* number + 1; 0 is free */
};

struct names *names_new(void)
{
    struct names *n = calloc(1, sizeof(*n));

    CHECK(n != NULL);
    return n;
}

struct names *names_free(struct names *n)
{
    free(n);
    return NULL;
}

/* The slot that holds `text`, or the free one where it belongs. */
static int32_t *find(struct names *n, const char *text)
{
    size_t at = hash_text(text) % SLOTS;

    while (n->slots[at] != 0 && strcmp(n->texts[n->slots[at] - 1], text) != 0)
        at = (at + 1) % SLOTS;
    return &n->slots[at];
}

int32_t names_number(struct names *n, const char *text)
{
    char name[NAME_SIZE] = {0};

    strncpy(name, text, sizeof(name) - 1);
    int32_t *slot = find(n, name);
    if (*slot == 0) {
        if (n->count == NAMES_MAX)
            return -1;
        memcpy(n->texts[n->count], name, sizeof(name));
        *slot = (int32_t)++n->count;
    }
    return *slot - 1;
}

size_t names_count(const struct names *n)
{
    return n->count;
}

const char *names_text(const struct names *n, int32_t number)
{
    CHECK(number >= 0 && (size_t)number < n->count);
    return n->texts[number];
}
