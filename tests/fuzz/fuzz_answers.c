/*
 * fuzz_answers: what a server is answered by local-svc, topups and watches.
 * Nothing that is out of range gets in, and no answer is taken for another's.
 */

#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/num.h"
#include "common/io/js.h"
#include "services/volumecap-server/topup_wire.h"
#include "services/volumecap-server/watch_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STARTS_AT_MS INT64_C(1795132800000) /* 2026-11-20 */

static bool is_amount(int64_t n)
{
    return n >= 0 && n <= UNITS_MAX;
}

static void try_topup(const struct buf *body)
{
    static const struct topup_item items[] = {{.cap = "a", .starts_at_ms = STARTS_AT_MS},
                                              {.cap = "b", .starts_at_ms = STARTS_AT_MS}};
    struct topup_answer answers[2];
    int64_t incarnation = 0;
    struct err e = {0};

    if (!topup_decode_answer(body, items, 2, answers, &incarnation, &e)) {
        CHECK(e.kind == ERR_INTERNAL);
        return;
    }
    for (int i = 0; i < 2; i++) {
        const struct pool_answer *a = &answers[i].pool;
        CHECK(is_amount(a->granted) && is_amount(a->keep) && is_amount(a->left));
        CHECK(a->state >= POOL_OPEN && a->state <= POOL_UNKNOWN);
    }
}

static void try_row(const cJSON *row)
{
    struct announcement a;
    struct err e = {0};

    if (!watch_decode_row(row, 0, &a, &e)) {
        CHECK(e.kind == ERR_INVALID);
        return;
    }
    CHECK(name_is_valid(a.cap) && is_amount(a.total) && is_amount(a.autonomy_ms));
    CHECK(a.state >= INTERVAL_PLANNED && a.state <= INTERVAL_CLOSED);
}

static void try_watch(const struct buf *body)
{
    struct watch_page page = {.revision = 0};
    const cJSON *row = NULL;
    struct err e = {0};

    if (watch_decode(body, &page, &e)) {
        CHECK(is_amount(page.revision));
        CHECK(cJSON_GetArraySize(page.windows) <= WATCH_ROWS_MAX);
        cJSON_ArrayForEach(row, page.windows) try_row(row);
    }
    watch_page_done(&page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_buf struct buf body = BUF_INIT(0);

    buf_add(&body, data, size);
    try_topup(&body);
    try_watch(&body);
    return 0;
}
