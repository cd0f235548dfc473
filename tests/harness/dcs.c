#include "tests/harness/dcs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/num.h"
#include "tests/harness/proc.h"

#define PATH_SIZE 256
#define SETTING_SIZE 2048
#define SETTINGS_MAX 24
#define KEY_SIZE 32
#define AUDIT_MS 60000
#define HEAR_MS 120000

struct dcs {
    char *folder;
    bool is_scratch, outlives;
    int count;
    struct dc *dcs[DCS_MAX];
    struct rabbit *brokers[DCS_MAX];
    struct links *links; /* NULL: none */
    dcs_route_fn *route; /* NULL: straight */
    struct dc_options each;
};

static void path_of(const struct dcs *d, const char *name, const char *suffix, char ret[PATH_SIZE])
{
    CHECK(snprintf(ret, PATH_SIZE, "%s/%s%s", d->folder, name, suffix) < PATH_SIZE);
}

static void make_folder(const char *path)
{
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        harness_fail("cannot make %s: %s", path, strerror(errno));
}

static struct dcs *dcs_new(const char *folder)
{
    struct dcs *d = calloc(1, sizeof(*d));

    CHECK(d != NULL);
    d->is_scratch = folder == NULL;
    d->folder = folder ? strdup(folder) : folder_scratch();
    CHECK(d->folder != NULL);
    return d;
}

const char *dcs_name(int i)
{
    static const char *const names[] = {"dc1", "dc2", "dc3", "dc4", "dc5",
                                        "dc6", "dc7", "dc8", "dc9", "dc10"};

    _Static_assert(sizeof(names) / sizeof(names[0]) == DCS_MAX, "a name for each");
    CHECK(i >= 0 && i < DCS_MAX);
    return names[i];
}

/* ---- what each is told of the others */

static void write_key(const char *dc, FILE *out)
{
    unsigned char key[KEY_SIZE];

    CHECK(getrandom(key, sizeof(key), 0) == (ssize_t)sizeof(key));
    fprintf(out, "%s first ", dc);
    for (size_t k = 0; k < sizeof(key); k++)
        fprintf(out, "%02x", key[k]);
    fprintf(out, "\n");
}

/* Of those from `first` on, behind the others'. */
static void write_keys(const struct dcs *d, int first)
{
    char path[PATH_SIZE];

    path_of(d, "keys", "", path);
    FILE *f = fopen(path, first > 0 ? "ae" : "we");
    if (!f || fchmod(fileno(f), 0600) != 0)
        harness_fail("cannot write %s", path);
    for (int i = first; i < d->count; i++)
        write_key(dcs_name(i), f);
    if (fclose(f) != 0)
        harness_fail("cannot write %s", path);
}

/* Settings of one of several, on top of the caller's. */
struct settings {
    char lines[SETTINGS_MAX][SETTING_SIZE];
    const char *list[SETTINGS_MAX + 1]; /* NULL-terminated */
    int count;
};

static void set(struct settings *s, const char *name, const struct buf *value)
{
    CHECK(s->count < SETTINGS_MAX && !buf_failed(value));
    CHECK(snprintf(s->lines[s->count], SETTING_SIZE, "%s=%s", name, buf_text(value)) <
          SETTING_SIZE);
    s->list[s->count] = s->lines[s->count];
    s->count++;
}

static void set_text(struct settings *s, const char *name, const char *text)
{
    auto_buf struct buf value = BUF_INIT(SETTING_SIZE);

    buf_str(&value, text);
    set(s, name, &value);
}

static void write_url(const struct dcs *d, int from, int to, struct buf *out)
{
    int64_t port = rabbit_port(d->brokers[to]);
    char address[DCS_ADDRESS_SIZE];

    if (d->links)
        port = links_port(d->links, from, to);
    if (d->route && from != to)
        d->route(from, to, port, address);
    else
        (void)snprintf(address, sizeof(address), "127.0.0.1:%lld", (long long)port);
    buf_printf(out, "amqp://guest:guest@%s/%%2f", address);
}

static void set_others(const struct dcs *d, int self, struct settings *s)
{
    auto_buf struct buf names = BUF_INIT(SETTING_SIZE);
    auto_buf struct buf peers = BUF_INIT(SETTING_SIZE);
    auto_buf struct buf own = BUF_INIT(SETTING_SIZE);

    for (int i = 0; i < d->count; i++) {
        if (i == self)
            continue;
        buf_printf(&names, "%s%s", names.len ? "," : "", dcs_name(i));
        buf_printf(&peers, "%s%s=", peers.len ? "," : "", dcs_name(i));
        write_url(d, self, i, &peers);
    }
    write_url(d, self, self, &own);
    set(s, "LOCAL_PEERS", &names);
    set(s, "REMOTE_PEERS", &peers);
    set(s, "REMOTE_BROKER", &own);
}

static void set_all(const struct dcs *d, int self, const char *const *given, struct settings *s)
{
    static const char *const names[] = {"LOCAL_DC", "META_DC", "REMOTE_DC"};
    char keys[PATH_SIZE];

    if (d->count > 1) {
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            set_text(s, names[i], dcs_name(self));
        path_of(d, "keys", "", keys);
        set_text(s, "REMOTE_KEYS", keys);
        set_others(d, self, s);
    }
    /* The caller's come last and win. */
    for (int i = 0; given && given[i]; i++) {
        CHECK(s->count < SETTINGS_MAX);
        s->list[s->count++] = given[i];
    }
}

/* ---- start */

static void launch_broker(struct dcs *d, int i)
{
    char folder[PATH_SIZE];

    path_of(d, dcs_name(i), "-broker", folder);
    d->brokers[i] =
        rabbit_launch(&(struct rabbit_options){.folder = folder, .outlives = d->outlives});
}

static void start_dc(struct dcs *d, int i)
{
    struct dc_options o = d->each;
    struct settings *s = calloc(1, sizeof(*s));
    char folder[PATH_SIZE];

    CHECK(s != NULL);
    path_of(d, dcs_name(i), "", folder);
    set_all(d, i, d->each.env, s);
    o.folder = folder;
    o.remotes = d->count > 1;
    o.number = i;
    o.outlives = d->outlives;
    o.env = s->list;
    d->dcs[i] = dc_start(&o);
    free(s);
}

static void start_links(struct dcs *d)
{
    int64_t ports[DCS_MAX];

    for (int i = 0; i < d->count; i++)
        ports[i] = rabbit_port(d->brokers[i]);
    d->links = links_start(d->folder, d->count, ports);
}

static bool hear_each_other(void *arg)
{
    return dcs_hear_each_other(arg);
}

/* Also brokers that came later than those who connect to them. */
static void await_each_other(struct dcs *d)
{
    if (!harness_await(hear_each_other, d, HEAR_MS))
        harness_fail("data centres in %s do not hear each other", d->folder);
}

/* Whoever attaches must know that all of it was ready once. */
static void mark_complete(const struct dcs *d)
{
    char path[PATH_SIZE];

    path_of(d, "complete", "", path);
    FILE *f = fopen(path, "we");
    if (!f || fprintf(f, "%d\n", d->count) < 0 || fclose(f) != 0)
        harness_fail("cannot write %s", path);
}

struct dcs *dcs_start(const struct dcs_options *o)
{
    struct dcs *d = dcs_new(o->folder);

    d->outlives = o->outlives;
    d->route = o->route;
    d->each = o->each;
    d->count = o->count ? o->count : 1;
    CHECK(d->count <= DCS_MAX && !(o->links && o->outlives));
    make_folder(d->folder);
    write_keys(d, 0);
    /* They take longest: the rest starts meanwhile. */
    for (int i = 0; d->count > 1 && i < d->count; i++)
        launch_broker(d, i);
    if (o->links && d->count > 1)
        start_links(d);
    for (int i = 0; i < d->count; i++)
        start_dc(d, i);
    for (int i = 0; i < d->count && d->brokers[i]; i++)
        rabbit_await(d->brokers[i]);
    await_each_other(d);
    /* Each was set when its database began: they are as far apart as that. */
    if (d->count > 1 && o->each.calendar)
        dcs_calendar_set(d, o->each.calendar, max_i64(1, o->each.speed));
    mark_complete(d);
    return d;
}

/* ---- found again */

struct dcs *dcs_attach(const char *folder)
{
    struct dcs *d = dcs_new(folder);
    char path[PATH_SIZE];

    d->outlives = true;
    for (int i = 0; i < DCS_MAX; i++) {
        path_of(d, dcs_name(i), "", path);
        d->dcs[i] = dc_attach(path);
        path_of(d, dcs_name(i), "-broker", path);
        d->brokers[i] = rabbit_attach(path);
        if (d->dcs[i] || d->brokers[i])
            d->count = i + 1;
    }
    return d->count > 0 ? d : dcs_forget(d);
}

bool dcs_is_complete(const struct dcs *d)
{
    char path[PATH_SIZE];

    path_of(d, "complete", "", path);
    return access(path, F_OK) == 0;
}

static void heal_broker(struct dcs *d, int i)
{
    if (!d->brokers[i] || rabbit_is_running(d->brokers[i]))
        return;
    rabbit_end(d->brokers[i]);
    (void)rabbit_free(d->brokers[i]);
    launch_broker(d, i);
    rabbit_await(d->brokers[i]);
}

void dcs_heal(struct dcs *d)
{
    for (int i = 0; i < d->count; i++)
        heal_broker(d, i);
    for (int i = 0; i < d->count; i++)
        dc_heal(d->dcs[i]);
    await_each_other(d);
}

/* ---- one more, one less */

static void start_again(struct dc *dc, enum dc_kind kind)
{
    for (int i = 0; i < dc_count(dc, kind); i++) {
        (void)dc_terminate(dc, kind, i);
        dc_restart(dc, kind, i);
    }
}

/* It knows of all that there are now. */
static void tell_of_others(struct dcs *d, int i)
{
    struct settings *s = calloc(1, sizeof(*s));

    CHECK(s != NULL);
    set_others(d, i, s);
    for (int k = 0; k < s->count; k++)
        dc_add_env(d->dcs[i], s->list[k]);
    free(s);
    start_again(d->dcs[i], DC_LOCAL);
    start_again(d->dcs[i], DC_REMOTE);
}

void dcs_join(struct dcs *d)
{
    int i = d->count++;

    CHECK(i > 1 && i < DCS_MAX && !d->links);
    write_keys(d, i);
    launch_broker(d, i);
    rabbit_await(d->brokers[i]);
    start_dc(d, i);
    for (int k = 0; k < i; k++)
        tell_of_others(d, k);
    await_each_other(d);
}

/* Its broker and database stay until the end, and nobody speaks to them. */
void dcs_leave(struct dcs *d)
{
    CHECK(d->count > 2 && !d->links);
    d->count--;
    if (dc_stop_services(d->dcs[d->count]) > 0)
        harness_fail("%s does not stop in order", dcs_name(d->count));
    for (int k = 0; k < d->count; k++)
        tell_of_others(d, k);
    await_each_other(d);
}

/* ---- the end */

void dcs_reap(struct dcs *d)
{
    for (int i = 0; i < d->count; i++) {
        if (d->dcs[i])
            dc_reap(d->dcs[i]);
        if (d->brokers[i])
            rabbit_reap(d->brokers[i]);
    }
}

int dcs_stop_services(struct dcs *d)
{
    int odd = 0;

    for (int i = d->count - 1; i >= 0; i--) {
        odd += d->dcs[i] ? dc_stop_services(d->dcs[i]) : 0;
    }
    return odd;
}

struct dcs *dcs_stop(struct dcs *d)
{
    if (!d)
        return NULL;
    for (int i = d->count - 1; i >= 0; i--) {
        d->dcs[i] = dc_stop(d->dcs[i]);
        if (d->brokers[i] && d->is_scratch)
            rabbit_kill(d->brokers[i]); /* its folder goes: there is nothing to save */
        if (d->brokers[i])
            rabbit_end(d->brokers[i]);
    }
    return dcs_forget(d);
}

struct dcs *dcs_forget(struct dcs *d)
{
    if (!d)
        return NULL;
    d->links = links_stop(d->links);
    for (int i = 0; i < DCS_MAX; i++) {
        (void)dc_forget(d->dcs[i]);
        (void)rabbit_free(d->brokers[i]);
    }
    if (d->is_scratch)
        folder_remove(d->folder);
    free(d->folder);
    free(d);
    return NULL;
}

/* The entry of GET /peers; borrowed until the client's next call. */
static const cJSON *peer_entry(struct client *remote, const char *peer)
{
    const struct call call = {.method = "GET", .path = "/peers"};
    struct answer answer = {0};
    const cJSON *item = NULL;
    struct err e;

    if (!client_call(remote, &call, &answer, &e) || answer.status != 200)
        return NULL;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(answer.json, "peers"))
    {
        const char *dc = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(item, "dc"));
        if (dc && strcmp(dc, peer) == 0)
            return item;
    }
    return NULL;
}

/* Only a primary has anything to say of others; -1: there is none now. */
static int speaker(const struct dc *dc)
{
    return dc_coordinator_of(dc, DC_REMOTE, 0) < 0 ? 0 : dc_primary(dc, DC_REMOTE);
}

bool dcs_peer_is(const struct dcs *d, int at, int peer, const char *state)
{
    int replica = speaker(d->dcs[at]);
    if (replica < 0)
        return false;
    auto_client struct client *remote = dc_client(d->dcs[at], DC_REMOTE, replica);
    const cJSON *entry = peer_entry(remote, dcs_name(peer));
    const char *found = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, "state"));

    return found && strcmp(found, state) == 0;
}

bool dcs_hear_each_other(const struct dcs *d)
{
    for (int i = 0; i < d->count; i++)
        for (int j = 0; j < d->count; j++)
            if (i != j && !dcs_peer_is(d, i, j, "up"))
                return false;
    return true;
}

int64_t dcs_at_peer(const struct dcs *d, int at, int peer, const char *member)
{
    int replica = speaker(d->dcs[at]);
    if (replica < 0)
        return -1;
    auto_client struct client *remote = dc_client(d->dcs[at], DC_REMOTE, replica);
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(peer_entry(remote, dcs_name(peer)), member);

    return cJSON_IsNumber(n) ? (int64_t)n->valuedouble : -1;
}

void dcs_calendar_set(const struct dcs *d, const char *instant, int64_t speed)
{
    for (int i = 0; i < d->count; i++)
        pg_exec(dc_conninfo(d->dcs[i]), "SELECT calendar.set('%s', %lld)", instant,
                (long long)speed);
}

void dcs_calendar_speed(const struct dcs *d, int64_t speed)
{
    for (int i = 0; i < d->count; i++)
        pg_exec(dc_conninfo(d->dcs[i]), "SELECT calendar.set(calendar.now(), %lld)",
                (long long)speed);
}

void dcs_local(const struct dcs *d, int i, char ret[DCS_LOCAL_SIZE])
{
    /* One alone has no name: local-svc's default. */
    snprintf(ret, DCS_LOCAL_SIZE, "%s=http://127.0.0.1:%d", d->count == 1 ? "local" : dcs_name(i),
             dc_port(d->dcs[i], DC_LOCAL, 0));
}

bool dcs_audit(const struct dcs *d, char **ret_said)
{
    char locals[DCS_MAX][DCS_LOCAL_SIZE], log[PATH_SIZE];
    const char *argv[DCS_MAX + 2] = {VOLUMECAP_BIN "/audit"};
    int status = 0;

    for (int i = 0; i < d->count; i++) {
        dcs_local(d, i, locals[i]);
        argv[i + 1] = locals[i];
    }
    path_of(d, "audit", ".log", log);
    (void)unlink(log);
    auto_proc struct proc *audit = proc_start(&(struct proc_options){.argv = argv, .log = log});
    bool is_clean = proc_wait(audit, AUDIT_MS, &status) && status == 0;
    *ret_said = file_tail(log);
    return is_clean;
}

int dcs_count(const struct dcs *d)
{
    return d->count;
}

const char *dcs_folder(const struct dcs *d)
{
    return d->folder;
}

struct dc *dcs_dc(const struct dcs *d, int i)
{
    CHECK(i >= 0 && i < d->count);
    return d->dcs[i];
}

struct rabbit *dcs_broker(const struct dcs *d, int i)
{
    CHECK(i >= 0 && i < d->count);
    return d->brokers[i];
}
