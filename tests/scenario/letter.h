#pragma once

/*
 * letter: messages to a data centre that no remote-svc wrote just so: forged,
 * or captured and sent again; and what it says about those that it refused.
 *
 * What is around a message is spelled out here once more, and not taken from
 * remote-svc, so that both must agree about it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/io/bus.h"
#include "common/io/sign.h"
#include "tests/scenario/scenes.h"

/* Headers that are NULL are left out; all of it is borrowed. */
struct letter {
    const char *v, *from, *to, *kind, *key;
    const char *body;
    const struct sign_key *signer; /* NULL: not signed */
    const char *signed_for;        /* another recipient than `to`; NULL: the same */
};

/* Puts it into the queue of data centre `to`, and waits until the broker has it. */
void letter_post(const struct scenes *s, int to, const struct letter *l);
void letter_post_again(const struct scenes *s, int to, const struct bus_message *m);

/*
 * The first message of this kind that lies in the queue of a data centre whose
 * remote-svc does not run, or comes; those before it are lost.  The caller
 * frees its body.
 */
struct bus_message letter_capture(const struct scenes *s, int at, const char *kind);

/* The keys of all data centres, as they have them now. */
struct sign_keys *letter_keys(const struct scenes *s);

/* How many messages it has refused, for this reason (NULL: any), and whether operators see it. */
int64_t letters_refused(const struct scenes *s, int at, const char *reason);
bool letter_is_shown(const struct scenes *s, int at, const char *from, const char *reason);

/* How many messages of rows it has taken. */
int64_t letters_taken(const struct scenes *s, int at);
