#include "services/coordinator/standing.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "services/coordinator/terms.h"

const char *const standing_names[] = {
#define X(state, name) name,
    STANDING_STATES(X)
#undef X
};

struct standing {
    pthread_mutex_t mutex; /* guards all of it */
    enum standing_state state;
    int64_t lease_until_ms;
    int64_t told_until_ms;
    int64_t asked_ms;
    int64_t heard_epoch;
    struct coordinator_sight sight;
    int64_t sight_ms; /* when it was asked for; 0: never */
    standing_left *left;
    void *left_arg;
};

struct standing *standing_new(void)
{
    struct standing *s = calloc(1, sizeof(*s));

    CHECK(s != NULL);
    CHECK(pthread_mutex_init(&s->mutex, NULL) == 0);
    s->sight.since_ms = -1;
    return s;
}

struct standing *standing_free(struct standing *s)
{
    if (s == NULL)
        return NULL;
    CHECK(s->left == NULL);
    CHECK(pthread_mutex_destroy(&s->mutex) == 0);
    free(s);
    return NULL;
}

static void lock(struct standing *s)
{
    CHECK(pthread_mutex_lock(&s->mutex) == 0);
}

static void unlock(struct standing *s)
{
    CHECK(pthread_mutex_unlock(&s->mutex) == 0);
}

/* Under the mutex. */
static struct standing_answer answer_at(const struct standing *s, int64_t now_ms)
{
    struct standing_answer a = {.state = s->state, .epoch = s->sight.epoch, .since_ms = -1};

    if (s->sight.is_held) {
        (void)snprintf(a.holder, sizeof(a.holder), "%s", s->sight.holder);
        a.since_ms = s->sight.since_ms;
    }
    if (s->state == STANDING_PRIMARY)
        a.valid_for_ms = max_i64(min_i64(s->lease_until_ms - now_ms, TERMS_BELIEF_MS), 0);
    /* The elector will notice in a moment. */
    if (s->state == STANDING_PRIMARY && a.valid_for_ms == 0)
        a.state = STANDING_CONNECTING;
    return a;
}

/* Under the mutex. */
static struct standing_answer tell_at(struct standing *s, int64_t now_ms)
{
    struct standing_answer a = answer_at(s, now_ms);

    s->told_until_ms = max_i64(s->told_until_ms, now_ms + a.valid_for_ms);
    return a;
}

struct standing_answer standing_tell(struct standing *s)
{
    lock(s);
    struct standing_answer a = tell_at(s, clk_now_ms());
    unlock(s);
    return a;
}

struct standing_answer standing_tell_service(struct standing *s, int64_t heard_epoch)
{
    lock(s);
    s->asked_ms = clk_now_ms();
    s->heard_epoch = max_i64(s->heard_epoch, heard_epoch);
    struct standing_answer a = tell_at(s, s->asked_ms);
    unlock(s);
    return a;
}

int64_t standing_asked_ms(struct standing *s)
{
    lock(s);
    int64_t asked_ms = s->asked_ms;
    unlock(s);
    return asked_ms;
}

int64_t standing_heard_epoch(struct standing *s)
{
    lock(s);
    int64_t epoch = s->heard_epoch;
    unlock(s);
    return epoch;
}

struct standing_answer standing_look(struct standing *s)
{
    lock(s);
    struct standing_answer a = answer_at(s, clk_now_ms());
    unlock(s);
    return a;
}

bool standing_sight(struct standing *s, struct coordinator_sight *ret, struct err *e)
{
    lock(s);
    int64_t age_ms = clk_now_ms() - s->sight_ms;
    bool is_fresh = s->sight_ms > 0 && age_ms < TERMS_ALIVE_MS;
    *ret = s->sight;
    unlock(s);

    if (!is_fresh)
        return err_set(e, ERR_UNAVAILABLE, "the database has not answered lately");
    for (size_t i = 0; i < ret->count; i++)
        ret->members[i].seen_ms_ago += age_ms;
    return true;
}

bool standing_ask_to_leave(struct standing *s, standing_left *left, void *arg, struct err *e)
{
    lock(s);
    bool may = s->left == NULL && (s->state == STANDING_PRIMARY || s->state == STANDING_ELECTED);
    if (may) {
        s->left = left;
        s->left_arg = arg;
    }
    unlock(s);
    return may || err_set(e, ERR_CONFLICT, "this coordinator is not the primary");
}

enum standing_state standing_state(struct standing *s)
{
    lock(s);
    enum standing_state state = s->state;
    unlock(s);
    return state;
}

void standing_enter(struct standing *s, enum standing_state state)
{
    lock(s);
    s->state = state;
    unlock(s);
}

void standing_win(struct standing *s, const struct coordinator_self *self, int64_t epoch,
                  int64_t asked_ms)
{
    lock(s);
    s->lease_until_ms = asked_ms + TERMS_LEASE_MS;
    s->sight.epoch = epoch;
    s->heard_epoch = max_i64(s->heard_epoch, epoch);
    s->sight.is_ours = s->sight.is_held = true;
    (void)snprintf(s->sight.holder, sizeof(s->sight.holder), "%s", self->name);
    s->sight.since_ms = -1; /* the next heartbeat tells */
    unlock(s);
}

void standing_beat(struct standing *s, const struct coordinator_sight *sight, int64_t asked_ms)
{
    lock(s);
    s->sight = *sight;
    s->heard_epoch = max_i64(s->heard_epoch, sight->epoch);
    s->sight_ms = asked_ms;
    if (sight->is_ours)
        s->lease_until_ms = asked_ms + TERMS_LEASE_MS;
    unlock(s);
}

int64_t standing_lease_until_ms(struct standing *s)
{
    lock(s);
    int64_t until_ms = s->lease_until_ms;
    unlock(s);
    return until_ms;
}

int64_t standing_told_until_ms(struct standing *s)
{
    lock(s);
    int64_t until_ms = s->told_until_ms;
    unlock(s);
    return until_ms;
}

bool standing_is_asked_to_leave(struct standing *s)
{
    lock(s);
    bool is_asked = s->left != NULL;
    unlock(s);
    return is_asked;
}

void standing_has_left(struct standing *s)
{
    lock(s);
    standing_left *left = s->left;
    void *arg = s->left_arg;
    struct standing_answer a = answer_at(s, clk_now_ms());
    s->left = NULL;
    unlock(s);

    if (left != NULL)
        left(arg, &a);
}
