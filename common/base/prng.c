#include "common/base/prng.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/random.h>

#include "common/base/check.h"

/* At most 256 bytes: the kernel gives those whole. */
static void entropy(void *ret, size_t size)
{
    ssize_t got = 0;

    do
        got = getrandom(ret, size, 0);
    while (got < 0 && errno == EINTR);
    CHECK(got == (ssize_t)size);
}

uint64_t prng_entropy(void)
{
    uint64_t seed = 0;

    entropy(&seed, sizeof(seed));
    return seed;
}

uint64_t prng_next(struct prng *p)
{
    p->state += UINT64_C(0x9e3779b97f4a7c15);

    uint64_t z = p->state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

int64_t prng_below(struct prng *p, int64_t below)
{
    CHECK(below >= 1);

    /* Numbers under 2^64 mod n would make the small results likelier: drawn again. */
    uint64_t n = (uint64_t)below;
    uint64_t unfair = -n % n;
    uint64_t drawn = prng_next(p);

    while (drawn < unfair)
        drawn = prng_next(p);
    return (int64_t)(drawn % n);
}

void uuid_random(char ret[UUID_SIZE])
{
    unsigned char b[16];

    entropy(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* version 4 */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80); /* the variant of RFC 9562 */

    for (size_t i = 0, at = 0; i < sizeof(b); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            ret[at++] = '-';
        at += (size_t)snprintf(ret + at, UUID_SIZE - at, "%02x", b[i]);
    }
}
