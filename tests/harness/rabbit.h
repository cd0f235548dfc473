#pragma once

/*
 * rabbit: private RabbitMQ brokers, each in a folder and with an epmd of its
 * own, on free ports of 127.0.0.1.
 *
 * The brokers that the tests of a Criterion program share are started by the
 * runner before the first test and stopped when it exits, as with PG_SUITE():
 * write RABBIT_SUITE(n) once in the test program, which includes
 * <criterion/hooks.h>.  Queues outlive the test that made them: each test has
 * names of its own.  It may also stop, kill and wipe a broker, all of which
 * the next one gets over; queues of other tests are forgotten then.
 *
 *   RABBIT_SUITE(2);
 *
 *   Test(bus, tells_what_it_is_told)
 *   {
 *       auto_rabbit struct rabbit *broker = rabbit_shared(0);
 *       ... rabbit_url(broker) ...
 *   }
 *
 * Everything here aborts with a message when it fails, as in proc.h.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/cleanup.h"

struct rabbit;

struct rabbit_options {
    const char *folder;   /* made if missing, kept afterwards; NULL: scratch */
    bool outlives;        /* the process that started it */
    pid_t dies_with;      /* outlives us, but not that process; 0: nobody */
    const char *tls_name; /* speaks TLS on a second port, as that name; NULL: without */
};

/*
 * Starts one, with what its folder has of an earlier one, on the same ports;
 * rabbit_await() waits until it takes connections, 5 s or so.
 */
struct rabbit *rabbit_launch(const struct rabbit_options *o);
void rabbit_await(struct rabbit *r);

/* Ports for one that will be started there, which nobody else gets while we live. */
void rabbit_reserve(const char *folder);

/* Both, in a scratch folder. */
struct rabbit *rabbit_start(void);

/*
 * The same, and it speaks TLS on a second port, with a certificate for that
 * name of an authority that was made for it alone.
 */
struct rabbit *rabbit_start_tls(const char *name);
const char *rabbit_tls_url(const struct rabbit *r);  /* amqps://, at localhost */
const char *rabbit_ca(const struct rabbit *r);       /* the authority's certificate, a file */
const char *rabbit_other_ca(const struct rabbit *r); /* one that knows nobody */

/* The broker that lives in that folder, started by somebody else; NULL: there was none. */
struct rabbit *rabbit_attach(const char *folder);

/* When we start that one again it outlives us, but not that process. */
void rabbit_dies_with(struct rabbit *r, pid_t process);

bool rabbit_is_running(const struct rabbit *r);
const char *rabbit_folder(const struct rabbit *r);

const char *rabbit_url(const struct rabbit *r); /* amqp:// */
int64_t rabbit_port(const struct rabbit *r);

void rabbit_stop(struct rabbit *r);    /* in order: what is persistent stays */
void rabbit_kill(struct rabbit *r);    /* kill -9 */
void rabbit_wipe(struct rabbit *r);    /* when stopped: forgets all queues and messages */
void rabbit_restart(struct rabbit *r); /* on the same port, after stop or kill */

/* An alarm: the broker reads no more of those who publish, until it is over. */
void rabbit_alarm(struct rabbit *r, bool on);

void rabbit_purge(struct rabbit *r, const char *queue);       /* drops what waits in it */
int64_t rabbit_messages(struct rabbit *r, const char *queue); /* -1: no such queue */

/* Anything else that its command-line tool can do; the arguments end with NULL. */
bool rabbit_ctl(struct rabbit *r, const char *log, ...) __attribute__((sentinel));

void rabbit_reap(struct rabbit *r); /* as dc_reap() */

/* Stops it and all that belongs to it, also if it is not our child. */
void rabbit_end(struct rabbit *r);

/* Kills it and removes a scratch folder; one that outlives us is only forgotten. */
struct rabbit *rabbit_free(struct rabbit *r);
CLEANUP_DEFINE(rabbit, struct rabbit, rabbit_free)
#define auto_rabbit CLEANUP(rabbit)

/* In the runner: starts `count` of them, all at once; exit() stops them. */
void rabbit_suite_start(int count);

/* In a test: number `i` of them, from 0.  It takes connections: if a test left it dead, again. */
struct rabbit *rabbit_shared(int i);

#define RABBIT_SUITE(count)                                                                        \
    ReportHook(PRE_ALL)(struct criterion_test_set * tests)                                         \
    {                                                                                              \
        (void)tests;                                                                               \
        rabbit_suite_start(count);                                                                 \
    }                                                                                              \
    struct rabbit_suite_takes_a_semicolon
