/*
 * fuzz_topup: what servers say to local-svc.  A request that is accepted keeps
 * every promise that the pools rely on, and its answer is JSON.
 */

#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/io/js.h"
#include "services/local-svc/topup_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_amount(int64_t n)
{
    return n >= 0 && n <= UNITS_MAX;
}

static void check_item(const struct topup_item *item, bool is_return)
{
    const struct pool_report *r = &item->report;

    CHECK(name_is_valid(item->key.cap));
    CHECK(is_amount(r->granted_known) && is_amount(r->returned) && is_amount(r->consumed));
    CHECK(is_amount(r->refunded) && is_amount(r->want) && r->rate_milli >= -1);
    CHECK(!is_return || r->want == 0);
}

static void check_request(const struct topup_request *r, bool is_return)
{
    CHECK(name_is_valid(r->server.name) && r->server.generation >= 1);
    CHECK(strlen(r->server.incarnation) == UUID_SIZE - 1);
    CHECK(strlen(r->server.process) == UUID_SIZE - 1);
    CHECK(r->count <= TOPUP_ITEMS_MAX);
    for (size_t i = 0; i < r->count; i++) {
        check_item(&r->items[i], is_return);
        for (size_t k = 0; k < i; k++)
            CHECK(window_key_compare(&r->items[i].key, &r->items[k].key) != 0);
    }
}

/* What the server reads back are its own names, whatever they are. */
static void check_answer(const struct topup_request *r)
{
    auto_buf struct buf out = BUF_INIT(0);
    auto_js cJSON *j = NULL;
    struct err e = {0};

    for (size_t i = 0; i < r->count; i++)
        r->answers[i].pool = (struct pool_answer){
            .granted = r->items[i].report.granted_known, .keep = UNITS_MAX, .state = POOL_UNKNOWN};
    topup_encode(r, &out);
    CHECK(!buf_failed(&out) && js_parse(out.data, out.len, &j, &e));
}

static bool decode(const uint8_t *data, size_t size, bool is_return)
{
    struct topup_request r;
    struct err e = {0};
    const bool ok = topup_decode((const char *)data, size, is_return, &r, &e);

    CHECK(ok || e.kind == ERR_INVALID);
    if (ok) {
        check_request(&r, is_return);
        check_answer(&r);
    }
    topup_request_done(&r);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)decode(data, size, /* is_return= */ false);
    (void)decode(data, size, /* is_return= */ true);
    return 0;
}
