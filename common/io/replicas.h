#pragma once

/*
 * replicas: a service that is called, of which one or several replicas run.
 *
 * A setting names them: "http://10.0.0.1:8083,http://10.0.0.2:8083".  Any will
 * do, and httpc_call() finds one that answers.  All callers share what they find
 * out: who failed is not asked first any more.
 */

#include <stdatomic.h>
#include <stddef.h>

#include "common/base/err.h"

#define REPLICAS_MAX 8
#define REPLICAS_URL_SIZE 256

/* How settings of this kind are described in --help, behind what it is. */
#define REPLICAS_HELP "; several replicas: http://a:1,http://b:1, asked in turn until one answers"

struct replicas {
    char urls[REPLICAS_MAX][REPLICAS_URL_SIZE]; /* without a slash at the end */
    size_t count;
    atomic_size_t first; /* who is asked first; from any thread */
};

/* ERR_INVALID, naming the setting, unless it is 1 to REPLICAS_MAX http:// addresses. */
MUST_CHECK bool replicas_parse(const char *setting, const char *text, struct replicas *ret,
                               struct err *e);

/* That one failed: unless another thread has said so already, the next is asked first. */
void replicas_failed(struct replicas *r, size_t index);
