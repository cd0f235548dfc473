#pragma once

/* topup: what a server asks, and what it is answered; as on the wire, without JSON. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/num.h"
#include "common/base/prng.h"
#include "common/domain/pool.h"
#include "common/domain/window_key.h"

#define TOPUP_ITEMS_MAX 1000

struct topup_item {
    struct window_key key;
    struct pool_report report;
};

struct topup_answer {
    struct pool_answer pool;
    int64_t starts_in_ms, ends_in_ms; /* real time, >= 0 */
};

/* Who asks: a name, its ledger, and the process that has the ledger open. */
struct topup_server {
    char name[NAME_SIZE];
    char incarnation[UUID_SIZE]; /* lower case, as the database writes it */
    char process[UUID_SIZE];
    int64_t generation;
};

/* Why a request was answered, and nothing done. */
enum topup_refusal {
    TOPUP_ADMITTED,
    TOPUP_IMPOSTOR,   /* another process has this ledger */
    TOPUP_OLD_LEDGER, /* the ledger has forgotten what was reported from it before */
};

struct topup_request {
    struct topup_server server;
    size_t count;
    struct topup_item *items;     /* no key twice */
    struct topup_answer *answers; /* as many */
    int64_t heard;    /* of this data centre's incarnations, the highest that it knows of */
    bool all_told;    /* in it, it has told all that it holds */
    int64_t answered; /* the incarnation in which it is answered */
    bool is_first;    /* of its process, as far as is recorded */
    enum topup_refusal refusal;
};
