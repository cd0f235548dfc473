#include "services/audit/page.h"

#include <stdio.h>
#include <string.h>

#include "common/base/num.h"
#include "common/domain/interval.h"
#include "common/io/js.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define POINTER_SIZE 64

struct body {
    char dc[NAME_SIZE], next[NAME_SIZE + TIME_TEXT_SIZE];
    const cJSON *pools;
    bool has_next;
};

struct row {
    struct page_row row;
    const cJSON *peers;
};

struct peer {
    char name[NAME_SIZE];
    int64_t sent, received;
};

/* clang-format off */
#define AT(member) offsetof(struct body, member)
static const struct js_field body_fields[] = {
    {.name = "dc",    .kind = JS_NAME,  .offset = AT(dc)},
    {.name = "pools", .kind = JS_ARRAY, .offset = AT(pools), .max = PAGE_WINDOWS_MAX},
    {.name = "next",  .kind = JS_TEXT,  .offset = AT(next), .min = 1,
     .max = NAME_SIZE + TIME_TEXT_SIZE - 1, .optional = true, .nullable = true, .given = AT(has_next) + 1},
};
#undef AT

#define AT(member) offsetof(struct row, member)
#define AMOUNT(name_) {.name = #name_, .kind = JS_I64, .offset = AT(row.account.name_), .max = UNITS_MAX}
static const struct js_field row_fields[] = {
    {.name = "cap",       .kind = JS_NAME,  .offset = AT(row.key.cap)},
    {.name = "starts_at", .kind = JS_TIME,  .offset = AT(row.key.starts_at_ms)},
    {.name = "ends_at",   .kind = JS_TIME,  .offset = AT(row.ends_at_ms)},
    {.name = "state",     .kind = JS_ENUM,  .offset = AT(row.state), .names = interval_state_names},
    {.name = "home",      .kind = JS_NAME,  .offset = AT(row.home)},
    AMOUNT(total_max), AMOUNT(minted), AMOUNT(burned), AMOUNT(received), AMOUNT(sent),
    AMOUNT(granted), AMOUNT(returned), AMOUNT(consumed), AMOUNT(refunded),
    {.name = "peers",     .kind = JS_ARRAY, .offset = AT(peers), .max = JUDGE_DCS_MAX},
};
#undef AT
#undef AMOUNT

#define AT(member) offsetof(struct peer, member)
static const struct js_field peer_fields[] = {
    {.name = "peer",     .kind = JS_NAME, .offset = AT(name)},
    {.name = "sent",     .kind = JS_I64,  .offset = AT(sent), .max = UNITS_MAX},
    {.name = "received", .kind = JS_I64,  .offset = AT(received), .max = UNITS_MAX},
};
#undef AT
/* clang-format on */

static int index_of(const struct page_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->names[i], name) == 0)
            return (int)i;
    return JUDGE_STRANGER;
}

static bool decode_peer(const cJSON *json, const char *where, const struct page_names *names,
                        struct page *page, struct judge_account *ret, struct err *e)
{
    struct peer peer = {0};

    if (!js_decode_lax(json, where, peer_fields, COUNT(peer_fields), &peer, e))
        return false;
    int i = index_of(names, peer.name);
    if (i == JUDGE_STRANGER && peer.sent == 0 && peer.received == 0)
        return true;
    if (i == JUDGE_STRANGER) {
        ret->has_strangers = true;
        (void)snprintf(page->stranger, sizeof(page->stranger), "%s", peer.name);
        return true;
    }
    ret->sent_to[i] = peer.sent;
    ret->received_from[i] = peer.received;
    return true;
}

static bool decode_row(const cJSON *json, size_t n, const struct page_names *names, int64_t now_ms,
                       struct page *page, struct err *e)
{
    char where[POINTER_SIZE];
    struct row row = {0};
    const cJSON *peer = NULL;
    struct judge_account *account = &row.row.account;

    (void)snprintf(where, sizeof(where), "/pools/%zu", n);
    if (!js_decode_lax(json, where, row_fields, COUNT(row_fields), &row, e))
        return false;
    (void)snprintf(where, sizeof(where), "/pools/%zu/peers", n);
    cJSON_ArrayForEach(
        peer, row.peers) if (!decode_peer(peer, where, names, page, account, e)) return false;
    account->is_known = true;
    account->is_over = row.row.state == INTERVAL_CLOSED || row.row.ends_at_ms <= now_ms;
    account->home = index_of(names, row.row.home);
    page->rows[page->count++] = row.row;
    return true;
}

/* Whoever merges by key must be able to rely on the order. */
static bool is_in_order(const struct page *p)
{
    for (size_t i = 1; i < p->count; i++)
        if (window_key_compare(&p->rows[i - 1].key, &p->rows[i].key) >= 0)
            return false;
    return p->count > 0 || !p->more;
}

bool page_decode(const char *text, size_t len, const struct page_names *names, int64_t now_ms,
                 struct page *ret, struct err *e)
{
    auto_js cJSON *json = NULL;
    struct body body = {0};
    const cJSON *pool = NULL;

    if (!js_parse(text, len, &json, e) ||
        !js_decode_lax(json, "", body_fields, COUNT(body_fields), &body, e))
        return false;
    ret->count = 0;
    ret->stranger[0] = '\0';
    ret->more = body.has_next;
    (void)snprintf(ret->dc, sizeof(ret->dc), "%s", body.dc);
    cJSON_ArrayForEach(pool, body.pools)
    {
        if (!decode_row(pool, ret->count, names, now_ms, ret, e))
            return false;
    }
    return is_in_order(ret) || err_set(e, ERR_INTERNAL, "the windows are not in order");
}
