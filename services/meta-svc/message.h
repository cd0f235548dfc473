#pragma once

/* message: what interval-svc is told of a definition, PUT /definitions/{id}. */

#include "services/meta-svc/store.h"

#define META_MESSAGE_MAX 4096

/* `version` is the message's own; that of the definition is told, too. */
void meta_message_write(const struct meta_cap *m, int64_t version, struct buf *out);
