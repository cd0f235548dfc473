#pragma once

/*
 * dcs: several data centres on this machine that trade, dc1, dc2 and so on:
 * for each a dc (dc.h) with a remote-svc, and a RabbitMQ broker of its own.
 * One alone has neither.  All of them live below one folder.
 *
 * With `links`, whatever a data centre says to another's broker, and whatever
 * its own broker says to it, goes through a proxy (wire.h), and can be cut,
 * delayed, lost or repeated.
 *
 * Everything aborts with a message when it fails, as in proc.h.
 */

#include <stdbool.h>

#include "common/base/cleanup.h"
#include "tests/harness/dc.h"
#include "tests/harness/links.h"
#include "tests/harness/rabbit.h"

#define DCS_MAX LINKS_DCS_MAX

/* "192.0.2.1:5672": where `from` finds the broker of `to`, which listens on that port here. */
#define DCS_ADDRESS_SIZE 64
typedef void dcs_route_fn(int from, int to, int64_t port, char ret[DCS_ADDRESS_SIZE]);

struct dcs_options {
    int count;              /* 0: 1 */
    const char *folder;     /* made if missing, kept afterwards; NULL: scratch */
    bool links;             /* proxies in between; they end with us */
    dcs_route_fn *route;    /* NULL: straight there (or to the proxy) on 127.0.0.1 */
    bool outlives;          /* goes on when we end, to be found again with dcs_attach() */
    struct dc_options each; /* its folder, remotes, number and outlives are set here */
};

struct dcs;

/* Starts everything and waits until all of it is ready, and all have heard of each other. */
struct dcs *dcs_start(const struct dcs_options *o);

/* What dcs_start() left, or has, in `folder`; NULL: nothing. */
struct dcs *dcs_attach(const char *folder);

/* False if its dcs_start() was broken off, or is still under way: it can only be stopped. */
bool dcs_is_complete(const struct dcs *d);

/* Starts again, on the same ports, whatever is not running, and waits until all is ready. */
void dcs_heal(struct dcs *d);

/*
 * One more, at the end, beside two at least and without links; and the last one stops for good. The
 * others are told as operators do it: their local-svc and remote-svc are started again with another
 * list.
 */
void dcs_join(struct dcs *d);
void dcs_leave(struct dcs *d);

/* As dc_reap(), for all, brokers too. */
void dcs_reap(struct dcs *d);

/* As dc_stop_services(), for all. */
int dcs_stop_services(struct dcs *d);

/* Stops everything; removes a scratch folder. */
struct dcs *dcs_stop(struct dcs *d);
CLEANUP_DEFINE(dcs, struct dcs, dcs_stop)
#define auto_dcs CLEANUP(dcs)

/* Forgets what goes on without us. */
struct dcs *dcs_forget(struct dcs *d);

/* How data centre `at` sees another in GET /peers: "up", "lost" or "never"; -1: no such number. */
bool dcs_peer_is(const struct dcs *d, int at, int peer, const char *state);
bool dcs_hear_each_other(const struct dcs *d); /* each sees each other one as "up" */
int64_t dcs_at_peer(const struct dcs *d, int at, int peer, const char *member);

/* The calendars of all of them go on from there, so many times as fast as real time. */
void dcs_calendar_set(const struct dcs *d, const char *instant, int64_t speed);

/* The same, from where they are. */
void dcs_calendar_speed(const struct dcs *d, int64_t speed);

/* What the audit is to be told of one: "dc1=http://127.0.0.1:8083". */
#define DCS_LOCAL_SIZE 96
void dcs_local(const struct dcs *d, int i, char ret[DCS_LOCAL_SIZE]);

/* The audit over all of them, by the program for operators; false: *ret_said is what it found. */
bool dcs_audit(const struct dcs *d, char **ret_said);

int dcs_count(const struct dcs *d);
const char *dcs_folder(const struct dcs *d);
const char *dcs_name(int i);                           /* "dc1" */
struct dc *dcs_dc(const struct dcs *d, int i);         /* NULL: its start was broken off */
struct rabbit *dcs_broker(const struct dcs *d, int i); /* NULL: there is none */
