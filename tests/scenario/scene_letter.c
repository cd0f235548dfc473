#include "tests/scenario/letter.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "tests/harness/proc.h"

#define POST_MS 30000
#define CAPTURE_MS 30000
#define QUEUE_SIZE 32

/* As remote-svc says it: whoever declares a queue again must do so in the same words. */
#define QUEUE_TTL_MS 60000
#define QUEUE_MESSAGES_MAX 10000
#define QUEUE_BYTES_MAX (INT64_C(256) * 1024 * 1024)

static void name_queue(int dc, char ret[QUEUE_SIZE])
{
    (void)snprintf(ret, QUEUE_SIZE, "volumecap.%s", dcs_name(dc));
}

static void copy(struct bus_message *to, const struct bus_message *from)
{
    for (size_t i = 0; i < from->headers_count; i++)
        bus_header_set(to, from->headers[i].name, from->headers[i].value);
    buf_add(&to->body, from->body.data, from->body.len);
}

/* ---- posting */

struct post {
    const struct bus_message *message; /* the sender's thread's: NULL once it is given */
    struct bus_sender *sender;
};

static bool give(void *arg, struct bus_message *ret)
{
    struct post *p = arg;

    if (!p->message)
        return false;
    copy(ret, p->message);
    p->message = NULL;
    return true;
}

static bool is_confirmed(void *arg)
{
    const struct post *p = arg;

    return bus_sender_counts(p->sender).confirmed == 1;
}

void letter_post_again(const struct scenes *s, int to, const struct bus_message *m)
{
    struct post post = {.message = m};
    char queue[QUEUE_SIZE];
    struct err e = {0};

    name_queue(to, queue);
    const struct bus_sender_config config = {.name = "letters",
                                             .url = rabbit_url(dcs_broker(s->dcs, to)),
                                             .queue = queue,
                                             .next = give,
                                             .arg = &post};
    if (!bus_sender_start(&config, &post.sender, &e))
        harness_fail("letters: %s", e.msg);
    if (!harness_await(is_confirmed, &post, POST_MS))
        harness_fail("letters: the broker of %s takes none", dcs_name(to));
    (void)bus_sender_stop(post.sender);
}

static void set_header(struct bus_message *m, const char *name, const char *value)
{
    if (value)
        bus_header_set(m, name, value);
}

static void sign(const struct letter *l, struct bus_message *m)
{
    char head[256], sig[SIGN_HEX_SIZE];
    /* The empty line: the body is not packed. */
    int len = snprintf(head, sizeof(head), "%s\n%s\n%s\n%s\n\n", l->v, l->from,
                       l->signed_for ? l->signed_for : l->to, l->kind);

    CHECK(len < (int)sizeof(head));
    sign_hex(l->signer, head, (size_t)len, l->body, strlen(l->body), sig);
    bus_header_set(m, "sig", sig);
}

void letter_post(const struct scenes *s, int to, const struct letter *l)
{
    struct bus_message m = {.body = BUF_INIT(BUS_BODY_MAX)};

    set_header(&m, "v", l->v);
    set_header(&m, "from", l->from);
    set_header(&m, "to", l->to);
    set_header(&m, "kind", l->kind);
    set_header(&m, "key", l->key);
    buf_str(&m.body, l->body);
    if (l->signer)
        sign(l, &m);
    letter_post_again(s, to, &m);
    buf_done(&m.body);
}

/* ---- capturing */

struct capture {
    const char *kind;
    struct bus_message message; /* the receiver's thread's, until it has been caught */
    atomic_bool is_caught;
};

static bool keep(void *arg, const struct bus_message *m)
{
    struct capture *c = arg;
    const char *kind = bus_header(m, "kind");

    if (atomic_load(&c->is_caught) || !kind || strcmp(kind, c->kind) != 0)
        return true;
    copy(&c->message, m);
    atomic_store(&c->is_caught, true);
    return true;
}

static bool has_caught(void *arg)
{
    struct capture *c = arg;

    return atomic_load(&c->is_caught);
}

struct bus_message letter_capture(const struct scenes *s, int at, const char *kind)
{
    struct capture capture = {.kind = kind, .message.body = BUF_INIT(BUS_BODY_MAX)};
    struct bus_receiver *receiver = NULL;
    char queue[QUEUE_SIZE];
    struct err e = {0};

    name_queue(at, queue);
    const struct bus_receiver_config config = {.name = "letters",
                                               .url = rabbit_url(dcs_broker(s->dcs, at)),
                                               .queue = queue,
                                               .ttl_ms = QUEUE_TTL_MS,
                                               .messages_max = QUEUE_MESSAGES_MAX,
                                               .bytes_max = QUEUE_BYTES_MAX,
                                               .handle = keep,
                                               .arg = &capture};
    CHECK(!dc_is_running(s->at[at]->dc, DC_REMOTE, 0));
    if (!bus_receiver_start(&config, &receiver, &e))
        harness_fail("letters: %s", e.msg);
    if (!harness_await(has_caught, &capture, CAPTURE_MS))
        harness_fail("letters: none of %s comes to %s", kind, dcs_name(at));
    (void)bus_receiver_stop(receiver);
    return capture.message;
}

struct sign_keys *letter_keys(const struct scenes *s)
{
    struct sign_keys *keys = NULL;
    char path[256];
    struct err e = {0};

    (void)snprintf(path, sizeof(path), "%s/keys", s->folder);
    if (!sign_keys_load(path, &keys, &e))
        harness_fail("letters: %s", e.msg);
    return keys;
}

/* ---- what became of them */

int64_t letters_refused(const struct scenes *s, int at, const char *reason)
{
    auto_client struct client *remote = dc_client(s->at[at]->dc, DC_REMOTE, 0);
    char label[64] = "";

    if (reason)
        (void)snprintf(label, sizeof(label), "reason=\"%s\"", reason);
    return metric_sum(remote, "volumecap_rows_refused_total", label);
}

int64_t letters_taken(const struct scenes *s, int at)
{
    auto_client struct client *remote = dc_client(s->at[at]->dc, DC_REMOTE, 0);

    return metric_sum(remote, "volumecap_peer_messages_applied_total", "");
}

static bool text_is(const cJSON *object, const char *member, const char *expected)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, member));

    return text && strcmp(text, expected) == 0;
}

bool letter_is_shown(const struct scenes *s, int at, const char *from, const char *reason)
{
    auto_client struct client *remote = dc_client(s->at[at]->dc, DC_REMOTE, 0);
    struct answer answer = {0};
    const cJSON *item = NULL;
    struct err e = {0};

    cr_assert(client_expect(remote, 200, "GET", "/peers", NULL, &answer, &e), "%s", e.msg);
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(answer.json, "refused"))
    {
        if (text_is(item, "from", from) && text_is(item, "reason", reason))
            return true;
    }
    return false;
}
