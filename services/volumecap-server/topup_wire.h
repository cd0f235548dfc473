#pragma once

/* topup_wire: the body of POST /topup and POST /return of local-svc, and its answer. */

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "services/volumecap-server/upkeep.h"

#define TOPUP_ITEMS_MAX 1000

struct topup_sender {
    const char *server;
    const char *incarnation;
    int64_t generation;
    const char *process;
    int64_t heard; /* of the pool's incarnations, the highest */
    bool all_told; /* in it, the pool was told all that is held here */
};

void topup_encode_request(const struct topup_sender *from, const struct topup_item *items,
                          size_t count, struct buf *out);

/* The answers in the order of the items, and the pool's incarnation; ERR_INTERNAL if they are not
 * the answers to these. */
MUST_CHECK bool topup_decode_answer(const struct buf *body, const struct topup_item *items,
                                    size_t count, struct topup_answer *ret,
                                    int64_t *ret_incarnation, struct err *e);
