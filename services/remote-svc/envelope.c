#include "services/remote-svc/envelope.h"

#include <stdio.h>
#include <string.h>

#define HEAD_SIZE 256

const char *const envelope_kind_names[] = {
#define X(kind, name) name,
    ENVELOPE_KINDS(X)
#undef X
};

const char *const envelope_verdict_names[] = {
#define X(verdict, name) name,
    ENVELOPE_VERDICTS(X)
#undef X
};

static void sign(const struct sign_key *key, const char *to, enum envelope_kind kind,
                 const struct buf *body, char ret[SIGN_HEX_SIZE])
{
    char head[HEAD_SIZE];
    int len = snprintf(head, sizeof(head), ENVELOPE_VERSION "\n%s\n%s\n%s\n", key->dc, to,
                       envelope_kind_names[kind]);

    sign_hex(key, head, (size_t)len, buf_text(body), body->len, ret);
}

void envelope_seal(const struct sign_key *key, const char *to, enum envelope_kind kind,
                   struct bus_message *m)
{
    char sig[SIGN_HEX_SIZE];

    sign(key, to, kind, &m->body, sig);
    bus_header_set(m, "v", ENVELOPE_VERSION);
    bus_header_set(m, "from", key->dc);
    bus_header_set(m, "to", to);
    bus_header_set(m, "kind", envelope_kind_names[kind]);
    bus_header_set(m, "key", key->id);
    bus_header_set(m, "sig", sig);
}

/* A header that is missing is like one that is wrong. */
static const char *header(const struct bus_message *m, const char *name)
{
    const char *value = bus_header(m, name);

    return value ? value : "";
}

static bool kind_of(const char *name, enum envelope_kind *ret)
{
    for (int i = 0; i < ENVELOPE_KIND_COUNT; i++) {
        if (strcmp(envelope_kind_names[i], name) == 0) {
            *ret = (enum envelope_kind)i;
            return true;
        }
    }
    return false;
}

enum envelope_verdict envelope_open(const struct sign_keys *keys, const char *self,
                                    const struct bus_message *m, struct envelope *ret)
{
    const char *from = header(m, "from");
    enum envelope_kind kind = ENVELOPE_HELLO;
    char sig[SIGN_HEX_SIZE];

    if (buf_failed(&m->body))
        return ENVELOPE_TOO_LARGE;
    if (strcmp(header(m, "v"), ENVELOPE_VERSION) != 0)
        return ENVELOPE_VERSION_WRONG;
    if (strcmp(from, self) == 0 || !sign_knows(keys, from))
        return ENVELOPE_STRANGER;
    if (strcmp(header(m, "to"), self) != 0)
        return ENVELOPE_NOT_FOR_US;
    if (!kind_of(header(m, "kind"), &kind))
        return ENVELOPE_KIND_WRONG;
    const struct sign_key *key = sign_key_of(keys, from, header(m, "key"));
    if (!key)
        return ENVELOPE_KEY_UNKNOWN;
    sign(key, self, kind, &m->body, sig);
    if (!sign_equal(sig, header(m, "sig")))
        return ENVELOPE_FORGED;
    *ret = (struct envelope){.from = from, .kind = kind};
    return ENVELOPE_GOOD;
}
