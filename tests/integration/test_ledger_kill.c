/*
 * Processes that spend from a ledger with several threads are killed at any
 * moment.  Before a client would have had his yes, the ledger has it: what was
 * acknowledged is never more than what is counted as consumed, and at most one
 * operation a thread is counted without an acknowledgement.
 */

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clk.h"
#include "common/base/prng.h"
#include "common/io/ledger.h"
#include "tests/harness/proc.h"

#define THREADS 3 /* that consume */
#define GRANT_STEP 200
#define CONSUME_MAX 3
#define RETURN_MAX 7
#define RUN_MS 2500
#define KILLS_MIN 20
#define UNITS_MIN 1000
#define LIMIT_MS 90000 /* for so many of them, on a busy machine too */
#define ROUND_US 8000  /* a process lives for at most so long */

/* Shared with the children, and of longer life than they: what clients were told. */
struct acknowledged {
    _Atomic int64_t consumed[THREADS];
    _Atomic int64_t refunded[THREADS];
    _Atomic int64_t returned;
    _Atomic int64_t granted; /* what the pool has granted: written before the slot hears of it */
    _Atomic int64_t started; /* children that had the ledger open */
};

struct child {
    struct ledger_entry *entry;
    struct acknowledged *told;
    int thread;
    uint64_t seed;
};

static void *spend(void *arg)
{
    const struct child *c = arg;
    struct slot *slot = &c->entry->slot;
    struct prng prng = {.state = c->seed};

    for (;;) {
        int64_t n = 1 + prng_below(&prng, CONSUME_MAX);
        struct slot_take take = slot_consume(slot, n, CONSUME_BEST_EFFORT);
        if (take.verdict == SLOT_GRANTED)
            atomic_fetch_add(&c->told->consumed[c->thread], take.units);
        if (prng_below(&prng, 8) == 0 && slot_refund(slot, 1))
            atomic_fetch_add(&c->told->refunded[c->thread], 1);
    }
    return NULL;
}

/* The one thread that grants and returns. */
static void keep(struct slot *slot, struct acknowledged *told, struct prng *prng)
{
    for (;;) {
        if (slot_rest(slot) < GRANT_STEP / 4)
            slot_grant(slot, atomic_fetch_add(&told->granted, GRANT_STEP) + GRANT_STEP);
        int64_t n = slot_return(slot, 1 + prng_below(prng, RETURN_MAX));
        atomic_fetch_add(&told->returned, n);
    }
}

static void find(void *arg, const char *cap, struct ledger_entry *entry)
{
    (void)cap;
    *(struct ledger_entry **)arg = entry;
}

static struct ledger *open_ledger(const char *path, struct ledger_entry **ret_entry)
{
    struct ledger *l = NULL;
    struct err e = {0};

    *ret_entry = NULL;
    cr_assert(ledger_open(path, "front-1", 16, &l, &e), "%s", e.msg);
    ledger_each(l, find, ret_entry);
    return l;
}

_Noreturn static void live(const char *path, struct acknowledged *told, uint64_t seed)
{
    struct child children[THREADS];
    struct ledger_entry *entry = NULL;
    struct prng prng = {.state = seed};
    pthread_t thread;

    (void)open_ledger(path, &entry); /* the kill closes it */
    atomic_fetch_add(&told->started, 1);
    for (int i = 0; i < THREADS; i++) {
        children[i] = (struct child){entry, told, i, prng_next(&prng)};
        if (pthread_create(&thread, NULL, spend, &children[i]) != 0)
            _exit(1);
    }
    keep(&entry->slot, told, &prng);
    _exit(0);
}

static void sleep_us(int64_t us)
{
    const struct timespec t = {.tv_nsec = us * 1000};

    (void)nanosleep(&t, NULL);
}

/* One life: from its start to a kill at any moment. */
static void one_life(const char *path, struct acknowledged *told, struct prng *prng)
{
    const int64_t started = atomic_load(&told->started);
    const int64_t give_up_ms = clk_now_ms() + LIMIT_MS;
    int status = 0;
    pid_t pid = fork();

    cr_assert(pid >= 0);
    if (pid == 0)
        live(path, told, prng_next(prng));
    while (atomic_load(&told->started) == started && clk_now_ms() < give_up_ms)
        sleep_us(50);
    sleep_us(1 + prng_below(prng, ROUND_US));
    cr_assert(kill(pid, SIGKILL) == 0);
    cr_assert(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
}

static int64_t sum(const _Atomic int64_t *counts)
{
    int64_t total = 0;

    for (int i = 0; i < THREADS; i++)
        total += atomic_load(&counts[i]);
    return total;
}

/* What must hold after `kills` lives. */
static void check(const char *path, const struct acknowledged *told, int64_t kills)
{
    struct ledger_entry *entry = NULL;
    struct ledger *l = open_ledger(path, &entry);

    cr_assert(!ledger_is_new(l), "%s", ledger_why_new(l));
    cr_assert(entry != NULL && slot_is_sound(&entry->slot));
    const struct slot_counts c = slot_counts(&entry->slot);
    const int64_t rest = slot_rest(&entry->slot);
    const int64_t consumed = sum(told->consumed), refunded = sum(told->refunded);

    cr_assert(c.granted + c.refunded == c.returned + c.consumed + rest, "no unit is anywhere else");
    cr_assert(consumed <= c.consumed, "%lld acknowledged, %lld counted", (long long)consumed,
              (long long)c.consumed);
    cr_assert(c.consumed - consumed <= kills * THREADS * CONSUME_MAX);
    cr_assert(refunded <= c.refunded && c.refunded - refunded <= kills * THREADS);
    const int64_t returned = atomic_load(&told->returned);
    cr_assert(returned <= c.returned && c.returned - returned <= kills * RETURN_MAX);
    /* The last grant may not have come; the next one says it again. */
    const int64_t granted = atomic_load(&told->granted);
    cr_assert(c.granted <= granted && granted - c.granted <= kills * GRANT_STEP);
    (void)ledger_close(l);
}

Test(ledger_kill, nothing_is_made_and_nothing_is_stranded_by_kills_at_any_moment)
{
    auto_free char *folder = folder_scratch();
    struct prng prng = {.state = prng_entropy()};
    struct ledger_entry *entry = NULL;
    struct ledger *l = NULL;
    char path[200];
    int64_t kills = 0;
    struct acknowledged *told =
        mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    cr_assert(told != MAP_FAILED);
    snprintf(path, sizeof(path), "%s/ledger", folder);
    l = open_ledger(path, &entry);
    cr_assert(ledger_claim(l, "ad", 1) != NULL);
    (void)ledger_close(l);

    const int64_t began_ms = clk_now_ms();
    while (clk_now_ms() < began_ms + RUN_MS || kills < KILLS_MIN ||
           sum(told->consumed) < UNITS_MIN) {
        cr_assert_lt(clk_now_ms(), began_ms + LIMIT_MS, "%lld kills, %lld units", (long long)kills,
                     (long long)sum(told->consumed));
        one_life(path, told, &prng);
        check(path, told, ++kills);
    }
}
