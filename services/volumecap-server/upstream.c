#include "services/volumecap-server/upstream.h"

#include <stdio.h>

#include "common/base/check.h"
#include "common/base/log.h"

void upstream_init(struct upstream *u, const char *name)
{
    *u = (struct upstream){.name = name};
    CHECK(pthread_mutex_init(&u->lock, NULL) == 0);
}

void upstream_done(struct upstream *u)
{
    (void)pthread_mutex_destroy(&u->lock);
}

void upstream_ok(struct upstream *u)
{
    (void)pthread_mutex_lock(&u->lock);
    bool changed = u->failed;
    u->failed = false;
    (void)pthread_mutex_unlock(&u->lock);
    if (changed)
        log_event(LOG_INFO, "upstream.back", log_str("calls", u->name));
}

void upstream_failed(struct upstream *u, const struct err *e)
{
    (void)pthread_mutex_lock(&u->lock);
    bool changed = !u->failed;
    u->failed = true;
    (void)snprintf(u->why, sizeof(u->why), "%s", e->msg);
    (void)pthread_mutex_unlock(&u->lock);
    log_event(changed ? LOG_WARN : LOG_DEBUG, "upstream.failed", log_str("calls", u->name),
              log_str("error", e->msg), log_str("then", "will retry"));
}

void upstream_write(struct upstream *u, struct buf *out)
{
    (void)pthread_mutex_lock(&u->lock);
    buf_printf(out, "local-svc %s: %s\n", u->name, u->failed ? u->why : "ok");
    (void)pthread_mutex_unlock(&u->lock);
}
