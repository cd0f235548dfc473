#include "services/local-svc/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool add(struct peers *p, const char *name, size_t len, struct err *e)
{
    if (p->count == TRADE_PEERS_MAX)
        return err_set(e, ERR_INVALID, "more than %d other data centres", TRADE_PEERS_MAX);
    char *to = p->names[p->count];
    (void)snprintf(to, NAME_SIZE, "%.*s", (int)len, name);
    if (len >= NAME_SIZE || !name_is_valid(to))
        return err_set(e, ERR_INVALID, "\"%s\" must be " NAME_RULE, to);
    if (strcmp(to, p->self) == 0 || peers_find(p, to) >= 0)
        return err_set(e, ERR_INVALID, "data centre %s is named twice", to);
    p->count++;
    return true;
}

bool peers_parse(const char *self, const char *others, struct peers *ret, struct err *e)
{
    struct peers p = {0};

    CHECK(name_is_valid(self));
    memcpy(p.self, self, strlen(self) + 1);
    while (*others != '\0') {
        size_t len = strcspn(others, ",");

        if (!add(&p, others, len, e))
            return err_while(e, "LOCAL_PEERS");
        others += len + (others[len] == ',');
    }
    qsort(p.names, p.count, sizeof(p.names[0]), compare_names);
    *ret = p;
    return true;
}

int peers_find(const struct peers *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->names[i], name) == 0)
            return (int)i;
    return -1;
}

int64_t peers_own_share(const struct peers *p, int64_t total)
{
    size_t place = 0;

    while (place < p->count && strcmp(p->names[place], p->self) < 0)
        place++;
    return trade_share(total, p->count + 1, place);
}

/* Among all data centres, this one included, in the order of names. */
static size_t place_of(const struct peers *p, size_t index)
{
    return index + (strcmp(p->self, p->names[index]) < 0);
}

int64_t peers_share(const struct peers *p, int64_t total, size_t index)
{
    return trade_share(total, p->count + 1, place_of(p, index));
}

bool peers_has_turn(const struct peers *p, size_t index, int64_t now_ms)
{
    return trade_has_turn(p->count + 1, place_of(p, index), now_ms);
}
