#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "common/base/prng.h"

/* Reference values of splitmix64 by Vigna for the seed 1234567. */
Test(prng, is_splitmix64)
{
    static const uint64_t expected[] = {UINT64_C(6457827717110365317),
                                        UINT64_C(3203168211198807973),
                                        UINT64_C(9817491932198370423)};
    struct prng p = {.state = 1234567};

    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        cr_expect(prng_next(&p) == expected[i], "number %zu", i);
}

Test(prng, below_stays_below_and_reaches_every_number)
{
    struct prng p = {.state = 1};
    int seen[7] = {0};

    for (int i = 0; i < 7000; i++) {
        int64_t n = prng_below(&p, 7);
        cr_assert(n >= 0 && n < 7);
        seen[n]++;
    }
    for (int n = 0; n < 7; n++)
        cr_expect(seen[n] > 800 && seen[n] < 1200, "%d came %d times", n, seen[n]);
}

Test(prng, below_one_is_zero_and_the_largest_bound_works)
{
    struct prng p = {.state = 5};

    cr_expect(prng_below(&p, 1) == 0);
    for (int i = 0; i < 100; i++)
        cr_expect(prng_below(&p, INT64_MAX) >= 0);
}

Test(prng, below_nothing_is_a_bug, .signal = SIGABRT)
{
    struct prng p = {.state = 5};

    (void)prng_below(&p, 0);
}

Test(prng, entropy_differs)
{
    cr_expect(prng_entropy() != prng_entropy());
}

Test(prng, a_uuid_is_of_version_4_and_never_the_same)
{
    char a[UUID_SIZE], b[UUID_SIZE];

    for (int i = 0; i < 200; i++) {
        uuid_random(a);
        uuid_random(b);
        cr_assert(strlen(a) == 36 && strcmp(a, b) != 0);
        cr_assert(strspn(a, "0123456789abcdef-") == 36);
        cr_assert(a[8] == '-' && a[13] == '-' && a[18] == '-' && a[23] == '-');
        cr_assert(a[14] == '4', "%s", a);
        cr_assert(strchr("89ab", a[19]) != NULL, "%s", a);
    }
}
