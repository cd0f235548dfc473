/* audit: a data centre that does what a real one does only now and then, or never. */

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/io/httpd.h"
#include "common/io/js.h"
#include "tests/harness/program.h"
#include "tests/harness/stand_in.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ENDED_AT 1577836800000 /* 2020-01-01 */

enum { CLEAN = 0, VIOLATED = 1, USAGE = 2, INCOMPLETE = 3 };

enum oddity {
    IN_ORDER,
    RESTLESS,  /* something changes all the time */
    SETTLES,   /* something changes between the first two readings, and never again */
    BREAKS,    /* likewise, and what it comes to does not add up */
    PURGES,    /* a window that is over is not there any more in the second reading */
    STUMBLES,  /* each first answer is 503 */
    FALLS,     /* says who it is, and nothing more */
    LOOPS,     /* the same page again and again */
    JUMBLES,   /* windows out of order */
    TURNS,     /* becomes another data centre */
    STAMMERS,  /* no JSON */
    IS_OF_OLD, /* does not say who it is */
};

struct fake {
    enum oddity oddity;
    pthread_mutex_t lock;
    int asked; /* for pools, after the first time, which is only to ask who it is */
    int calls; /* of any kind */
    struct stand_in server;
    char arg[80];
};

static void write_pool(struct js_writer *w, const struct fake *f, const char *cap)
{
    bool moves = f->oddity == RESTLESS || f->oddity == SETTLES || f->oddity == BREAKS;
    int64_t granted = !moves ? 0 : f->oddity == RESTLESS || f->asked < 2 ? f->asked : 2;

    js_object(w, NULL);
    js_text(w, "cap", cap);
    js_time(w, "starts_at", ENDED_AT - 86400000);
    js_time(w, "ends_at", f->oddity == PURGES ? ENDED_AT : ENDED_AT + 86400000);
    js_text(w, "state", f->oddity == PURGES ? "closed" : "open");
    js_text(w, "home", "x");
    js_i64(w, "total_max", 1000);
    js_i64(w, "minted", 1000);
    js_i64(w, "burned", 0);
    js_i64(w, "received", 0);
    js_i64(w, "sent", f->oddity == BREAKS && f->asked >= 2 ? 1 : 0);
    js_i64(w, "granted", granted);
    js_i64(w, "returned", 0);
    js_i64(w, "consumed", 0);
    js_i64(w, "refunded", 0);
    js_array(w, "peers");
    js_array_end(w);
    js_object_end(w);
}

static void write_pools(struct js_writer *w, const struct fake *f)
{
    js_object(w, NULL);
    if (f->oddity != IS_OF_OLD)
        js_text(w, "dc", f->oddity == TURNS && f->asked > 0 ? "y" : "x");
    js_array(w, "pools");
    if (f->oddity != PURGES || f->asked < 2)
        write_pool(w, f, "b");
    if (f->oddity == JUMBLES)
        write_pool(w, f, "a");
    js_array_end(w);
    if (f->oddity == LOOPS)
        js_text(w, "next", "b/2020-01-01T00:00:00Z");
    else
        js_null(w, "next");
    js_object_end(w);
}

/* It may be tried again. */
static bool stumble(struct fake *f, struct err *e)
{
    bool stumbles =
        (f->oddity == STUMBLES && f->calls % 2 == 0) || (f->oddity == FALLS && f->asked > 0);

    f->calls++;
    return !stumbles || err_set(e, ERR_UNAVAILABLE, "as the test wants it");
}

static bool get_pools(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                      struct err *e)
{
    struct fake *f = arg;
    struct js_writer w = {.out = &reply->body};

    pthread_mutex_lock(&f->lock);
    f->asked += httpd_query(req, "peers") != NULL;
    bool ok = stumble(f, e);
    if (ok && f->oddity == STAMMERS && f->asked > 0)
        buf_str(&reply->body, "{\"dc\":");
    else if (ok)
        write_pools(&w, f);
    pthread_mutex_unlock(&f->lock);
    return ok;
}

static bool get_audit(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                      struct err *e)
{
    struct fake *f = arg;
    struct js_writer w = {.out = &reply->body};

    (void)req;
    pthread_mutex_lock(&f->lock);
    bool ok = stumble(f, e);
    pthread_mutex_unlock(&f->lock);
    if (!ok)
        return false;
    js_object(&w, NULL);
    js_time(&w, "checked_at", ENDED_AT);
    js_array(&w, "checks");
    js_array_end(&w);
    js_object_end(&w);
    return true;
}

static const struct httpd_route routes[] = {
    {"GET", "/pools", "listPools", 200, get_pools, false},
    {"GET", "/audit", "audit", 200, get_audit, false},
};

static void fake_start(struct fake *f, enum oddity oddity)
{
    *f = (struct fake){.oddity = oddity};
    cr_assert(pthread_mutex_init(&f->lock, NULL) == 0);
    stand_in_start(&f->server, routes, COUNT(routes), f);
    snprintf(f->arg, sizeof(f->arg), "x=%s", f->server.url);
}

static void fake_stop(struct fake *f)
{
    stand_in_stop(&f->server);
    (void)pthread_mutex_destroy(&f->lock);
}

static const struct {
    const char *name; /* reads as a claim */
    enum oddity oddity;
    int status;
    const char *said;
} cases[] = {
    {"what is in order is clean", IN_ORDER, CLEAN, "windows 1, known in only some data centres 0"},
    {"a window that does not come to rest is named, and not summed", RESTLESS, CLEAN,
     "moving I6 b 2019-12-31T00:00:00Z: moving, not checked for I6\n"},
    {"one that comes to rest in time is summed", SETTLES, CLEAN, "moving 0, sum not"},
    {"and found not to add up", BREAKS, VIOLATED,
     "violation I6 b 2019-12-31T00:00:00Z: 999 are free, held, spent or on their way, of 1000"},
    {"nothing is concluded from a window that is purged", PURGES, CLEAN, "sum not to be checked 1"},
    {"a moment's failure is no reason to give up", STUMBLES, CLEAN, "all is accounted for"},
    {"a lasting one is", FALLS, INCOMPLETE, "incomplete: x: "},
    {"nobody is read for ever", LOOPS, INCOMPLETE, "that it was not asked for"},
    {"windows come in order", JUMBLES, INCOMPLETE, "the windows are not in order"},
    {"a data centre stays itself", TURNS, INCOMPLETE, "became data centre y"},
    {"what is no JSON is refused", STAMMERS, INCOMPLETE, "incomplete: x: "},
    {"who does not say who he is is not read", IS_OF_OLD, INCOMPLETE, "incomplete: x: "},
};

Test(audit_odd, is_taken_for_what_it_is)
{
    struct program program;

    program_init(&program);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fake f;

        fake_start(&f, cases[i].oddity);
        /* Only one of them never comes to rest; the others are waited for as long as need be. */
        const char *wait_ms = cases[i].oddity == RESTLESS ? "700" : "60000";
        const char *const args[] = {"--wait-ms", wait_ms, f.arg, NULL};
        cr_expect_eq(program_run(&program, "audit", args), cases[i].status, "%s: %s", cases[i].name,
                     program.output);
        cr_expect(strstr(program.output, cases[i].said) != NULL, "%s: no \"%s\" in: %s",
                  cases[i].name, cases[i].said, program.output);
        fake_stop(&f);
    }
    program_done(&program);
}

Test(audit_odd, one_that_is_not_there_is_named)
{
    struct program program;
    char arg[64];

    snprintf(arg, sizeof(arg), "x=http://127.0.0.1:%lld", (long long)port_free());
    const char *const args[] = {arg, NULL};
    program_init(&program);
    cr_expect_eq(program_run(&program, "audit", args), INCOMPLETE, "%s", program.output);
    cr_expect(strstr(program.output, "incomplete: x: ") != NULL, "%s", program.output);
    cr_expect(strstr(program.output, "windows 0,") != NULL, "%s", program.output);
    program_done(&program);
}
