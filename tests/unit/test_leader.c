/* leader: against a coordinator that answers as it is told. */

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clk.h"
#include "common/base/log.h"
#include "common/io/httpc.h"
#include "common/io/httpd.h"
#include "common/io/leader.h"

#define WAIT_MS 20000
#define VALID_MS 600
#define ANSWER(role, state, epoch, valid)                                                          \
    "{\"role\":\"" role "\",\"name\":\"a\",\"state\":\"" state "\",\"epoch\":" #epoch              \
    ",\"valid_for_ms\":" #valid ",\"holder\":\"a\",\"since\":null}"
/* Longer than is waited for: what ends it is another answer, and not a slow machine. */
#define PRIMARY(epoch) ANSWER("interval-svc", "primary", epoch, 60000)
#define SHORTLY(epoch) ANSWER("interval-svc", "primary", epoch, 600)
#define STANDBY(epoch) ANSWER("interval-svc", "standby", epoch, 0)

struct fake {
    struct metrics *metrics;
    struct httpd *httpd;
    _Atomic(const char *) answer; /* NULL: it keeps whoever asks waiting */
    atomic_int status;
    atomic_llong asked;       /* so often */
    atomic_llong heard;       /* the epoch that was last said to have been heard of */
    atomic_llong answered_ms; /* when the last one who was answered had asked */
    struct httpd_call *kept;
};

static bool take(void *arg, const struct httpd_request *req, struct httpd_reply *reply,
                 struct err *e)
{
    struct fake *f = arg;
    const char *answer = atomic_load(&f->answer);
    const char *heard = httpd_query(req, "heard");

    (void)e;
    cr_assert_not_null(heard);
    atomic_fetch_add(&f->asked, 1);
    atomic_store(&f->heard, strtoll(heard, NULL, 10));
    if (answer == NULL) {
        struct httpd_reply late = {.status = 503};
        if (f->kept != NULL)
            httpd_complete(f->kept, &late, NULL);
        f->kept = httpd_defer(req);
        return true;
    }
    /* The asker's own time is earlier than this. */
    atomic_store(&f->answered_ms, clk_now_ms());
    reply->status = atomic_load(&f->status);
    buf_str(&reply->body, answer);
    return true;
}

static bool ready(void *arg, struct buf *out)
{
    (void)arg;
    (void)out;
    return true;
}

static const struct httpd_route routes[] = {
    {"GET", "/leadership", "getLeadership", 200, take, false},
};

static void fake_stop(struct fake *f)
{
    struct httpd_reply late = {.status = 503};

    if (f->kept != NULL)
        httpd_complete(f->kept, &late, NULL);
    f->kept = NULL;
    f->httpd = httpd_stop(f->httpd);
    f->metrics = metrics_free(f->metrics);
}
#define auto_fake __attribute__((cleanup(fake_stop)))

static void fake_start(struct fake *f, const char *answer)
{
    struct err e;

    log_level_set(LOG_ERROR);
    httpc_global_init();
    atomic_store(&f->answer, answer);
    atomic_store(&f->status, 200);
    f->metrics = metrics_new();
    const struct httpd_config config = {
        .settings = {.address = "127.0.0.1",
                     .threads = 1,
                     .connections_max = 10,
                     .request_timeout_ms = 3000},
        .body_max = 100,
        .routes = routes,
        .routes_count = 1,
        .openapi = "{}",
        .ready = ready,
        .arg = f,
        .metrics = f->metrics,
    };
    cr_assert(httpd_start(&config, &f->httpd, &e), "%s", e.msg);
}

/* The service's side. */
struct service {
    struct metrics *metrics;
    struct leader *leader;
};

static struct service service_of(const char *url, bool alone)
{
    struct service s = {.metrics = metrics_new()};
    const struct leader_config config = {.role = "interval-svc",
                                         .settings = {.coordinator_url = url, .alone = alone},
                                         .prefix = "INTERVAL_",
                                         .metrics = s.metrics};
    struct err e;

    cr_assert(leader_start(&config, &s.leader, &e), "%s", e.msg);
    return s;
}

static struct service service_beside(const struct fake *f)
{
    static char url[64];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%lld", (long long)httpd_port(f->httpd));
    return service_of(url, false);
}

static void service_done(struct service *s)
{
    s->leader = leader_stop(s->leader);
    s->metrics = metrics_free(s->metrics);
}
#define auto_service __attribute__((cleanup(service_done)))

static bool acts(struct service *s)
{
    int64_t epoch = 0;

    return leader_epoch(s->leader, &epoch);
}

static void pause_ms(int64_t ms)
{
    const struct timespec t = {.tv_nsec = ms * 1000000};

    (void)nanosleep(&t, NULL);
}

static void await_acting(struct service *s, bool expected)
{
    int64_t deadline_ms = clk_now_ms() + WAIT_MS;

    while (acts(s) != expected) {
        cr_assert(clk_now_ms() < deadline_ms, "it %s", expected ? "never acts" : "goes on acting");
        pause_ms(2);
    }
}

static bool describes(struct service *s, const char *text)
{
    auto_buf struct buf out = BUF_INIT(1024);

    leader_describe(s->leader, &out);
    return strstr(buf_text(&out), text) != NULL;
}

static void await_description(struct service *s, const char *text)
{
    int64_t deadline_ms = clk_now_ms() + WAIT_MS;

    while (!describes(s, text)) {
        cr_assert(clk_now_ms() < deadline_ms, "it never says: %s", text);
        pause_ms(2);
    }
}

Test(leader, acts_when_it_is_told_to_and_stops_when_it_is_told_so)
{
    auto_fake struct fake f = {0};
    int64_t epoch = 0;

    fake_start(&f, STANDBY(6));
    auto_service struct service s = service_beside(&f);
    await_description(&s, "leadership: standby, epoch 6\n");
    cr_expect_not(acts(&s));
    atomic_store(&f.answer, PRIMARY(7));
    await_acting(&s, true);
    cr_expect(leader_epoch(s.leader, &epoch) && epoch == 7);
    await_description(&s, "leadership: primary, epoch 7\n");
    atomic_store(&f.answer, STANDBY(8));
    await_acting(&s, false);
}

static void await_heard(struct fake *f, long long epoch)
{
    int64_t deadline_ms = clk_now_ms() + WAIT_MS;

    while (atomic_load(&f->heard) != epoch) {
        cr_assert(clk_now_ms() < deadline_ms, "it says %lld", atomic_load(&f->heard));
        pause_ms(2);
    }
}

/* Its coordinator can then win with a higher one, should its database have been set back. */
Test(leader, says_which_epoch_it_has_heard_of)
{
    auto_fake struct fake f = {0};

    fake_start(&f, PRIMARY(7));
    auto_service struct service s = service_beside(&f);
    await_heard(&f, 7);
    atomic_store(&f.answer, PRIMARY(3));
    await_acting(&s, false);
    cr_expect(atomic_load(&f.heard) == 7);
    atomic_store(&f.answer, PRIMARY(8));
    await_acting(&s, true);
}

/* Exactly: no moment at which it acts is later than the answer allows. */
Test(leader, without_answers_it_stops_when_the_last_one_ends)
{
    auto_fake struct fake f = {0};

    fake_start(&f, SHORTLY(1));
    auto_service struct service s = service_beside(&f);
    await_acting(&s, true);
    atomic_store(&f.answer, NULL);
    for (;;) {
        int64_t now_ms = clk_now_ms();
        if (!acts(&s))
            break;
        cr_assert(now_ms <= atomic_load(&f.answered_ms) + VALID_MS, "it goes on acting");
        pause_ms(1);
    }
    await_description(&s, "no word of the coordinator");
    atomic_store(&f.answer, PRIMARY(1));
    await_acting(&s, true);
}

Test(leader, a_coordinator_that_is_gone_ends_it)
{
    auto_fake struct fake f = {0};

    fake_start(&f, PRIMARY(1));
    auto_service struct service s = service_beside(&f);
    await_acting(&s, true);
    f.httpd = httpd_stop(f.httpd);
    await_acting(&s, false);
    await_description(&s, "no word of the coordinator");
}

static const struct {
    const char *name, *answer;
    int status;
} worthless[] = {
    {"of another role", ANSWER("remote-svc", "primary", 9, 600), 200},
    {"of an epoch before", PRIMARY(1), 200},
    {"without a role", "{\"state\":\"primary\",\"epoch\":9,\"valid_for_ms\":600}", 200},
    {"an epoch that is none", ANSWER("interval-svc", "primary", -1, 600), 200},
    {"valid for ever", ANSWER("interval-svc", "primary", 9, 9007199254740991), 200},
    {"no JSON", "primary", 200},
    {"nothing", "", 200},
    {"an error", PRIMARY(9), 503},
};

Test(leader, answers_that_are_worth_nothing_allow_nothing)
{
    for (size_t i = 0; i < sizeof(worthless) / sizeof(worthless[0]); i++) {
        auto_fake struct fake f = {0};
        fake_start(&f, PRIMARY(5));
        auto_service struct service s = service_beside(&f);
        await_acting(&s, true);
        atomic_store(&f.status, worthless[i].status);
        atomic_store(&f.answer, worthless[i].answer);
        await_acting(&s, false);
        await_description(&s, "no word of the coordinator");
    }
}

Test(leader, one_alone_acts_and_one_without_a_coordinator_does_not)
{
    auto_service struct service alone = service_of("", true);
    int64_t epoch = -1;

    cr_expect(leader_epoch(alone.leader, &epoch) && epoch == LEADER_ALONE);
    cr_expect(leader_is_configured(alone.leader) && describes(&alone, "leadership: alone\n"));

    auto_service struct service lost = service_of("", false);
    cr_expect_not(acts(&lost));
    cr_expect_not(leader_is_configured(lost.leader));
    cr_expect(describes(&lost, "INTERVAL_COORDINATOR_URL or INTERVAL_ALONE=1"));
}

/* Stopping takes a while: it does not act in it, and lets another one act. */
Test(leader, one_that_resigned_neither_acts_nor_asks)
{
    auto_fake struct fake f = {0};

    fake_start(&f, PRIMARY(5));
    auto_service struct service s = service_beside(&f);
    await_acting(&s, true);
    leader_resign(s.leader);
    long long asked = atomic_load(&f.asked);
    cr_expect_not(acts(&s));
    pause_ms(700); /* it would ask three times */
    cr_expect(atomic_load(&f.asked) <= asked + 1, "it asks; one question may be under way");
    s.leader = leader_stop(s.leader);

    auto_service struct service alone = service_of("", true);
    leader_resign(alone.leader);
    cr_expect_not(acts(&alone));
}

Test(leader, settings_that_contradict_each_other_are_refused)
{
    static const struct {
        const char *url;
        bool alone;
        const char *why;
    } bad[] = {
        {"http://127.0.0.1:8086", true, "INTERVAL_ALONE"},
        {"127.0.0.1:8086", false, "INTERVAL_COORDINATOR_URL"},
        {"https://127.0.0.1:8086", false, "INTERVAL_COORDINATOR_URL"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct leader_config config = {
            .role = "r",
            .settings = {.coordinator_url = bad[i].url, .alone = bad[i].alone},
            .prefix = "INTERVAL_"};
        struct leader *l = NULL;
        struct err e = {0};
        cr_expect_not(leader_start(&config, &l, &e), "%s", bad[i].url);
        cr_expect(e.kind == ERR_INVALID && strstr(e.msg, bad[i].why) != NULL, "%s", e.msg);
    }
}
