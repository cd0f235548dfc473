#pragma once

/*
 * load: the load generator.  Keep-alive connections to one port of this
 * machine, served by one thread; each sends a request, reads the whole answer,
 * and sends the next, until the time is over.  What is in flight then is still
 * waited for, so that no request is left behind to disturb the next run.
 *
 * What is said is the target's business, so that rivals are measured with the
 * same generator.  All aborts with a message when it fails.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A request of that connection into `out`; its length. */
typedef size_t load_next_fn(void *arg, int connection, char *out, size_t size);

enum load_verdict { LOAD_PARTIAL, LOAD_GOOD, LOAD_BAD };

/* What has come on that connection so far, NUL-terminated. */
typedef enum load_verdict load_answer_fn(void *arg, int connection, const char *data, size_t len);

struct load_target {
    int port;
    int pid; /* whose CPU time is measured; 0: nobody's */
    load_next_fn *next;
    load_answer_fn *answer;
    void *arg;
};

struct load_plan {
    int connections;
    int64_t ms;
};

struct load_result {
    int64_t good, bad;
    double per_second; /* good ones */
    int64_t p99_us;
    double cpu_us; /* of the process `pid`, for each good answer */
};

struct load_result load_run(const struct load_target *target, const struct load_plan *plan);

/* Sends `count` requests over one connection each in turn, for preparation; true if all are good.
 */
bool load_all(const struct load_target *target, int connections, int64_t count);

/* For HTTP: PARTIAL until the answer is whole, then GOOD if its status is 2xx. */
enum load_verdict load_http_answer(const char *data, size_t len);
size_t load_http_request(char *out, size_t size, const char *method, const char *path,
                         const char *body);
