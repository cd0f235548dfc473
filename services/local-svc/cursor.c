#include "services/local-svc/cursor.h"

#include <stdio.h>

bool cursor_limit(const struct httpd_request *req, int64_t dflt, int64_t max, int64_t *ret,
                  struct err *e)
{
    const char *text = httpd_query(req, "limit");

    *ret = dflt;
    return !text || num_parse_i64(text, 1, max, ret, e) || err_while(e, "limit");
}

bool cursor_parse(const struct httpd_request *req, struct window_key *ret, struct err *e)
{
    const char *text = httpd_query(req, "after");
    const char *slash = text ? strchr(text, '/') : NULL;

    if (!text)
        return true;
    if (!slash || slash - text >= NAME_SIZE)
        return err_set(e, ERR_INVALID, "after: must be what an earlier answer gave as next");
    memcpy(ret->cap, text, (size_t)(slash - text));
    if (!name_is_valid(ret->cap) || !time_parse(slash + 1, &ret->starts_at_ms, e))
        return err_set(e, ERR_INVALID, "after: must be what an earlier answer gave as next");
    return true;
}

void cursor_write(struct js_writer *w, const struct window_key *last)
{
    char starts_at[TIME_TEXT_SIZE], cursor[NAME_SIZE + TIME_TEXT_SIZE];

    if (!last) {
        js_null(w, "next");
        return;
    }
    time_format(last->starts_at_ms, starts_at);
    (void)snprintf(cursor, sizeof(cursor), "%s/%s", last->cap, starts_at);
    js_text(w, "next", cursor);
}
