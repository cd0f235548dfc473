#pragma once

/* prng: seeded pseudo-random numbers (splitmix64), the same sequence for the same seed. */

#include <stdint.h>

struct prng {
    uint64_t state;
};

/* A seed that differs from process to process (getrandom). */
uint64_t prng_entropy(void);

uint64_t prng_next(struct prng *p);

/* Uniform in [0, below), below >= 1. */
int64_t prng_below(struct prng *p, int64_t below);

/* A random UUID (version 4) as text, from the kernel's generator. */
#define UUID_SIZE 37
void uuid_random(char ret[UUID_SIZE]);
