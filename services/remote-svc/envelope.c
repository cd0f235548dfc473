#include "services/remote-svc/envelope.h"

#include <stdio.h>
#include <string.h>

#include "common/io/deflate.h"

#define HEAD_SIZE 320
#define PACKED "deflate"
#define PACK_MIN 512 /* bytes; a greeting is not worth it */

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
                 const char *enc, const struct buf *body, char ret[SIGN_HEX_SIZE])
{
    char head[HEAD_SIZE];
    int len = snprintf(head, sizeof(head), ENVELOPE_VERSION "\n%s\n%s\n%s\n%s\n", key->dc, to,
                       envelope_kind_names[kind], enc);

    sign_hex(key, head, (size_t)len, buf_text(body), body->len, ret);
}

void envelope_done(struct envelope *e)
{
    buf_done(&e->unpacked);
}

/* A body that has failed stays so. */
static bool pack(struct buf *body)
{
    auto_buf struct buf packed = BUF_INIT(body->max);

    if (body->len < PACK_MIN || buf_failed(body))
        return false;
    deflate_pack(body->data, body->len, &packed);
    buf_clear(body);
    buf_add(body, packed.data, packed.len);
    return true;
}

void envelope_seal(const struct sign_key *key, const char *to, enum envelope_kind kind,
                   struct bus_message *m)
{
    char sig[SIGN_HEX_SIZE];
    bool is_packed = pack(&m->body);

    sign(key, to, kind, is_packed ? PACKED : "", &m->body, sig);
    bus_header_set(m, "v", ENVELOPE_VERSION);
    bus_header_set(m, "from", key->dc);
    bus_header_set(m, "to", to);
    bus_header_set(m, "kind", envelope_kind_names[kind]);
    bus_header_set(m, "key", key->id);
    if (is_packed)
        bus_header_set(m, "enc", PACKED);
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

static enum envelope_verdict unpack(const struct bus_message *m, struct envelope *ret)
{
    struct err e = {0};

    ret->text = buf_text(&m->body);
    ret->len = m->body.len;
    if (!bus_header(m, "enc"))
        return ENVELOPE_GOOD;
    if (strcmp(header(m, "enc"), PACKED) != 0)
        return ENVELOPE_MALFORMED;
    ret->unpacked = BUF_INIT(BUS_BODY_MAX);
    if (!deflate_unpack(ret->text, ret->len, &ret->unpacked, &e))
        return e.kind == ERR_TOO_LARGE ? ENVELOPE_TOO_LARGE : ENVELOPE_MALFORMED;
    ret->text = buf_text(&ret->unpacked);
    ret->len = ret->unpacked.len;
    return ENVELOPE_GOOD;
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
    sign(key, self, kind, header(m, "enc"), &m->body, sig);
    if (!sign_equal(sig, header(m, "sig")))
        return ENVELOPE_FORGED;
    ret->from = from;
    ret->kind = kind;
    return unpack(m, ret);
}
