#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/base/check.h"
#include "common/base/clk.h"
#include "common/io/sign.h"
#include "services/remote-svc/envelope.h"
#include "tests/bench/bench.h"
#include "tests/harness/local.h"
#include "tests/harness/pg.h"
#include "tests/harness/proc.h"
#include "tests/harness/rabbit.h"
#include "tests/harness/svc.h"

#define PEERS 9
#define CAPS 10000
#define CHANGED 1000 /* windows, by one topup each */
#define CHANGES_PER_S 100
#define HELLO_MS 1000
#define SYNC_MS 30000
#define SYNC_QUICK_MS 6000
#define LIMIT_MS 300000
#define NEXT_AT "2100-01-01T00:00:00Z"

/* ---- the other data centres: they greet, and listen without an answer */

struct listener {
    char dc[8], queue[24];
    const struct sign_keys *keys;
    int64_t seq, said_ms;
    struct bus_sender *sender;
    struct bus_receiver *receiver;
};

static bool greet(void *arg, struct bus_message *ret)
{
    struct listener *l = arg;

    if (clk_now_ms() - l->said_ms < HELLO_MS)
        return false;
    l->said_ms = clk_now_ms();
    buf_printf(&ret->body, "{\"sent_at_ms\":%lld,\"run\":1,\"seq\":%lld,\"heard_ms_ago\":0}",
               (long long)clk_utc_ms(), (long long)++l->seq);
    envelope_seal(sign_key_of(l->keys, l->dc, NULL), "dc0", ENVELOPE_HELLO, ret);
    return true;
}

static bool listen_only(void *arg, const struct bus_message *m)
{
    (void)arg, (void)m;
    return true;
}

static void listener_start(struct listener *l, int number, const char *url)
{
    struct err e = {0};

    snprintf(l->dc, sizeof(l->dc), "dc%d", number);
    snprintf(l->queue, sizeof(l->queue), "volumecap.%s", l->dc);
    const struct bus_receiver_config receiver = {.name = l->dc,
                                                 .url = url,
                                                 .queue = l->queue,
                                                 .ttl_ms = 60000,
                                                 .messages_max = 10000,
                                                 .bytes_max = 256 << 20,
                                                 .handle = listen_only,
                                                 .arg = l};
    const struct bus_sender_config sender = {
        .name = l->dc, .url = url, .queue = "volumecap.dc0", .next = greet, .arg = l};
    if (!bus_receiver_start(&receiver, &l->receiver, &e) ||
        !bus_sender_start(&sender, &l->sender, &e))
        harness_fail("bench: %s", e.msg);
}

/* ---- what is started */

struct scene {
    struct pg *pg;
    struct rabbit *broker;
    struct svc *local, *remote;
    struct sign_keys *keys;
    char *folder;
    char keys_path[256];
    struct listener listeners[PEERS];
    int64_t sync_ms;
};

#define MULTIPLY                                                                                   \
    "INSERT INTO %s SELECT (jsonb_populate_record(t, jsonb_build_object("                          \
    "                      'cap', 'bench-' || i))).*"                                              \
    "  FROM %s t, generate_series(1, %d) i WHERE t.cap = 'bench-0';"

/* The first cap's windows for all the others, which would take minutes one by one. */
static void multiply(const char *conninfo)
{
    pg_exec(conninfo, MULTIPLY MULTIPLY, "local.pool", "local.pool", CAPS - 1, "local.peer_row",
            "local.peer_row", CAPS - 1);
}

/* As after a while of demand, which differs: rows that are all alike would pack too well. */
static void vary(const char *conninfo)
{
    pg_exec(conninfo,
            "UPDATE local.pool SET changes = changes + (random() * 10000)::bigint,"
            "       rate_milli = (random() * 1000000)::bigint,"
            "       granted = granted + g, consumed = consumed + c"
            "  FROM (SELECT cap AS of, g, (random() * g)::bigint AS c"
            "          FROM (SELECT cap, (random() * 90000)::bigint AS g FROM local.pool) a) b"
            " WHERE cap = of AND state = 'open'");
}

static void start_local(struct scene *s)
{
    static const char *const env[] = {"LOCAL_DC=dc0",
                                      "LOCAL_PEERS=dc1,dc2,dc3,dc4,dc5,dc6,dc7,dc8,dc9",
                                      "LOCAL_LOG_LEVEL=warn", "LOCAL_AUDIT_MS=3600000", NULL};
    struct bench_windows windows = {.prefix = "bench",
                                    .starts_at = LOCAL_STARTS_AT,
                                    .ends_at = NEXT_AT,
                                    .state = "open",
                                    .total = 1000000,
                                    .slice = 0.0001};

    s->pg = pg_start(&(struct pg_options){.fsync = false});
    pg_migrate(pg_conninfo(s->pg));
    s->local = local_start(pg_conninfo(s->pg), env);
    windows.port = svc_port(s->local);
    bench_open_windows(&windows, 1);
    windows.starts_at = NEXT_AT;
    windows.ends_at = "2101-01-01T00:00:00Z";
    windows.state = "planned";
    bench_open_windows(&windows, 1);
    /* The shares have arrived: what is measured is not how they are told. */
    pg_exec(pg_conninfo(s->pg), "UPDATE local.peer_row SET echoed = sent");
    multiply(pg_conninfo(s->pg));
    vary(pg_conninfo(s->pg));
    pg_exec(pg_conninfo(s->pg), "VACUUM ANALYZE");
}

static void write_keys(struct scene *s)
{
    struct err e = {0};

    s->folder = folder_scratch();
    snprintf(s->keys_path, sizeof(s->keys_path), "%s/keys", s->folder);
    FILE *f = fopen(s->keys_path, "we");
    CHECK(f != NULL && fchmod(fileno(f), 0600) == 0);
    for (int i = 0; i <= PEERS; i++)
        fprintf(f, "dc%d k1 %064d\n", i, i + 1);
    CHECK(fclose(f) == 0);
    if (!sign_keys_load(s->keys_path, &s->keys, &e))
        harness_fail("bench: %s", e.msg);
}

static void start_remote(struct scene *s)
{
    char broker[200], keys[300], local[100], sync[40], peers[512] = "REMOTE_PEERS=";

    for (int i = 1; i <= PEERS; i++) {
        size_t len = strlen(peers);
        snprintf(peers + len, sizeof(peers) - len, "%sdc%d=%s", i > 1 ? "," : "", i,
                 rabbit_url(s->broker));
    }
    snprintf(broker, sizeof(broker), "REMOTE_BROKER=%s", rabbit_url(s->broker));
    snprintf(keys, sizeof(keys), "REMOTE_KEYS=%s", s->keys_path);
    snprintf(local, sizeof(local), "REMOTE_LOCAL_URL=http://127.0.0.1:%d", svc_port(s->local));
    snprintf(sync, sizeof(sync), "REMOTE_SYNC_MS=%lld", (long long)s->sync_ms);
    /* There is no meta-svc: definitions are not what is measured. */
    const char *const env[] = {"REMOTE_DC=dc0",
                               "REMOTE_ALONE=1",
                               broker,
                               peers,
                               keys,
                               local,
                               sync,
                               "REMOTE_META_URL=http://127.0.0.1:1",
                               "REMOTE_LOG_LEVEL=warn",
                               NULL};
    s->remote =
        svc_start(&(struct svc_options){.name = "remote-svc", .prefix = "REMOTE", .env = env});
}

static void scene_start(struct scene *s)
{
    start_local(s);
    s->broker = rabbit_start();
    write_keys(s);
    for (int i = 0; i < PEERS; i++) {
        s->listeners[i].keys = s->keys;
        listener_start(&s->listeners[i], i + 1, rabbit_url(s->broker));
    }
    start_remote(s);
}

static void scene_stop(struct scene *s)
{
    s->remote = svc_stop(s->remote);
    for (int i = 0; i < PEERS; i++) {
        (void)bus_sender_stop(s->listeners[i].sender);
        (void)bus_receiver_stop(s->listeners[i].receiver);
    }
    (void)sign_keys_free(s->keys);
    s->local = svc_stop(s->local);
    s->broker = rabbit_free(s->broker);
    s->pg = pg_free(s->pg);
    free(s->folder);
}

/* ---- what its metrics say */

struct seen {
    double rounds_min, round_s_max, waiting_max;
    double sent_bytes, sent_rows, round_rows, dropped; /* over all peers */
};

/* The value of a series of this metric, at the beginning of a line. */
static bool is_series(const char *line, const char *name, double *ret)
{
    size_t len = strlen(name);
    const char *value =
        strncmp(line, name, len) == 0 && line[len] == '{' ? strchr(line, '}') : NULL;

    if (value)
        *ret = strtod(value + 1, NULL);
    return value != NULL;
}

static void take_line(const char *line, struct seen *s)
{
    double value = 0;

    if (is_series(line, "volumecap_peer_rounds_total", &value))
        s->rounds_min = value < s->rounds_min ? value : s->rounds_min;
    else if (is_series(line, "volumecap_peer_round_duration_seconds", &value))
        s->round_s_max = value > s->round_s_max ? value : s->round_s_max;
    else if (is_series(line, "volumecap_peer_waiting_rows", &value))
        s->waiting_max = value > s->waiting_max ? value : s->waiting_max;
    else if (is_series(line, "volumecap_peer_sent_bytes_total", &value))
        s->sent_bytes += value;
    else if (is_series(line, "volumecap_peer_rows_sent_total", &value))
        s->sent_rows += value;
    else if (is_series(line, "volumecap_peer_round_rows_total", &value))
        s->round_rows += value;
    else if (is_series(line, "volumecap_peer_rows_dropped_total", &value))
        s->dropped += value;
}

static struct seen look(const struct scene *s)
{
    struct seen seen = {.rounds_min = 1e9};
    struct answer answer = {0};
    struct err e = {0};

    if (!client_expect(svc_client(s->remote), 200, "GET", "/metrics", NULL, &answer, &e))
        harness_fail("bench: %s", e.msg);
    for (const char *line = buf_text(&answer.reply->body); line && *line != '\0';) {
        take_line(line, &seen);
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return seen;
}

struct wait {
    const struct scene *scene;
    double rounds, waiting_max;
};

static bool has_rounds(void *arg)
{
    struct wait *w = arg;
    const struct seen seen = look(w->scene);

    w->waiting_max = seen.waiting_max > w->waiting_max ? seen.waiting_max : w->waiting_max;
    return seen.rounds_min >= w->rounds;
}

/* Until so many rounds are over for every peer; the most rows that ever waited for one. */
static double await_rounds(const struct scene *s, double rounds)
{
    struct wait w = {.scene = s, .rounds = rounds};

    if (!harness_await(has_rounds, &w, LIMIT_MS))
        harness_fail("bench: a round takes more than %d ms", LIMIT_MS);
    return w.waiting_max;
}

static long memory_kb(int pid)
{
    char path[64], line[200];
    long kb = 0;

    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *f = fopen(path, "re");
    CHECK(f != NULL);
    while (fgets(line, sizeof(line), f))
        (void)sscanf(line, "VmHWM: %ld", &kb);
    (void)fclose(f);
    return kb;
}

/* ---- the three figures */

static void measure_full(const struct scene *s)
{
    /* The first may have begun before the peer was heard: with the second, everything is told. */
    double waiting = await_rounds(s, 2);
    const struct seen seen = look(s);

    printf("bench: sync full round: %d peers x %d windows, %.0f rows and %.2f MB to each "
           "(%.1f bytes a row), %.1f MB in all, in %.1f s; at most %.0f rows waiting for one, "
           "remote-svc's memory at most %.1f MB\n",
           PEERS, 2 * CAPS, seen.sent_rows / PEERS, seen.sent_bytes / PEERS / 1e6,
           seen.sent_bytes / seen.sent_rows, seen.sent_bytes / 1e6, seen.round_s_max, waiting,
           (double)memory_kb(svc_pid(s->remote)) / 1024);
    if (seen.sent_rows < 2.0 * PEERS * CAPS || seen.dropped > 0)
        harness_fail("bench: the round was not complete");
}

static void print_steady(const char *what, const struct seen *before, const struct seen *after,
                         int64_t ms)
{
    printf("bench: sync %s: %.0f rows and %.1f kB a second to each peer; in %.0f s %.0f rows\n",
           what, (after->sent_rows - before->sent_rows) / PEERS * 1000 / (double)ms,
           (after->sent_bytes - before->sent_bytes) / PEERS / (double)ms, (double)ms / 1000,
           (after->sent_rows - before->sent_rows) / PEERS);
}

static void measure_quiet(const struct scene *s)
{
    const struct seen before = look(s);
    const int64_t since_ms = clk_now_ms();

    (void)await_rounds(s, before.rounds_min + 2);
    const struct seen after = look(s);
    print_steady("while nothing changes", &before, &after, clk_now_ms() - since_ms);
}

/* One topup each, evenly. */
static void change_windows(const struct scene *s)
{
    static const struct speaker speaker = {.number = 1};
    static const struct said said = {.want = 10};
    const int64_t since_ms = clk_now_ms();

    for (int i = 0; i < CHANGED; i++) {
        char cap[24];
        const int64_t due_ms = since_ms + i * 1000 / CHANGES_PER_S, now_ms = clk_now_ms();

        snprintf(cap, sizeof(cap), "bench-%d", i);
        if (due_ms > now_ms)
            nanosleep(&(struct timespec){.tv_nsec = (due_ms - now_ms) * 1000000}, NULL);
        if (local_topup(svc_client(s->local), &speaker, cap, &said).status != 200)
            harness_fail("bench: a topup was refused");
    }
}

static void measure_changes(const struct scene *s)
{
    const struct seen before = look(s);
    const int64_t since_ms = clk_now_ms();
    char what[100];

    change_windows(s);
    (void)await_rounds(s, look(s).rounds_min + 2);
    const struct seen after = look(s);
    snprintf(what, sizeof(what), "with %d topups/s that changed %d windows", CHANGES_PER_S,
             CHANGED);
    print_steady(what, &before, &after, clk_now_ms() - since_ms);
}

void bench_sync(struct dc *dc, const struct bench_plan *plan)
{
    struct scene s = {.sync_ms = plan->rounds > 1 ? SYNC_MS : SYNC_QUICK_MS};

    (void)dc;
    scene_start(&s);
    measure_full(&s);
    measure_quiet(&s);
    measure_changes(&s);
    scene_stop(&s);
}
