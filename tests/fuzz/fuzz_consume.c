/*
 * fuzz_consume: what clients ask of a server.  Whatever is accepted can be
 * decided and answered, in every way that it can end.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/io/js.h"
#include "services/volumecap-server/consume.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ITEMS_MAX 1000
#define YEAR_1_MS INT64_C(-62135596800000)
#define YEAR_9999_MS INT64_C(253402300799999)

static const struct server_metrics *metrics_once(void)
{
    static struct metrics *registry;
    static struct server_metrics metrics;

    if (!registry) {
        registry = metrics_new();
        CHECK(registry);
        server_metrics_init(&metrics, registry);
    }
    return &metrics;
}

static void check_item(const struct consume_item *item)
{
    CHECK(name_is_valid(item->ask.cap));
    CHECK(item->ask.amount >= 1 && item->ask.amount <= UNITS_MAX);
    CHECK(item->ask.mode >= CONSUME_ALL && item->ask.mode <= CONSUME_CHECK);
}

static struct spend outcome(enum slice_verdict verdict, bool known)
{
    return (struct spend){
        .verdict = verdict,
        .units = verdict == SLICE_GRANTED ? UNITS_MAX : 0,
        .rest = UNITS_MAX,
        .window = {.known = known || verdict == SLICE_GRANTED,
                   .starts_at_ms = YEAR_1_MS,
                   .ends_at_ms = YEAR_9999_MS,
                   .ends_in_ms = -1,
                   .total = UNITS_MAX},
    };
}

static void check_reply(const struct consume *c)
{
    struct httpd_reply reply = {0};
    auto_js cJSON *j = NULL;
    struct err e = {0};

    consume_reply(c, metrics_once(), &reply);
    CHECK(js_parse(buf_text(&reply.body), reply.body.len, &j, &e));
    CHECK(c->batch ? reply.status == 0
                   : (reply.status == 0) == (c->only.outcome.verdict == SLICE_GRANTED));
    buf_done(&reply.body);
}

static void check_all_outcomes(struct consume *c)
{
    for (int verdict = SLICE_GRANTED; verdict <= SLICE_UNKNOWN; verdict++) {
        for (size_t i = 0; i < c->count; i++)
            c->items[i].outcome = outcome((enum slice_verdict)verdict, i % 2 == 0);
        check_reply(c);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_free char *body = malloc(size + 1);
    struct consume c = {.count = 0};
    struct err e = {0};

    CHECK(body);
    memcpy(body, data, size);
    body[size] = '\0';
    const struct httpd_request req = {.body = body, .body_len = size, .request_id = "r-1"};
    if (consume_decode(&req, &c, &e)) {
        CHECK(c.count >= 1 && c.count <= ITEMS_MAX && (c.batch || c.count == 1));
        for (size_t i = 0; i < c.count; i++)
            check_item(&c.items[i]);
        check_all_outcomes(&c);
    } else {
        CHECK(e.kind == ERR_INVALID);
    }
    consume_done(&c);
    return 0;
}
