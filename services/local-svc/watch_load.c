#include "services/local-svc/rows_json.h"
#include "services/local-svc/store_watch.h"
#include "services/local-svc/watch.h"
#include "services/local-svc/watch_json.h"

bool watch_load_windows(struct db *db, int64_t since, int64_t limit, struct watch_page *ret,
                        struct err *e)
{
    auto_watch_news struct watch_news *news = NULL;

    if (!store_watch(db, since, limit, &news, e))
        return false;
    ret->revision = news->revision;
    ret->more = news->more;
    ret->count = news->count;
    watch_json(news, &ret->body);
    return true;
}

bool watch_load_rows(struct db *db, int64_t since, int64_t limit, struct watch_page *ret,
                     struct err *e)
{
    auto_told_page struct told_page page = {0};

    if (!store_told_since(db, since, limit, &page, e))
        return false;
    ret->revision = page.revision;
    ret->more = page.more;
    ret->count = page.count;
    rows_encode_news(&page, &ret->body);
    return true;
}
