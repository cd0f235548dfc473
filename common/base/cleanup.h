#pragma once

/*
 * cleanup: destructors that run at the end of the scope.
 *
 * The module that defines `struct x *x_free(struct x *)` writes
 * CLEANUP_DEFINE(x, struct x, x_free) in its header; users write
 * `auto_x struct x *p = NULL;` and hand over with `TAKE(p)`.  A destructor
 * takes NULL, returns NULL.
 */

#include <stdlib.h>

#define CLEANUP_DEFINE(name, type, destructor)                                                     \
    static inline void cleanup_##name(type **p)                                                    \
    {                                                                                              \
        (void)destructor(*p);                                                                      \
    }

#define CLEANUP(name) __attribute__((cleanup(cleanup_##name)))

/* The value of the pointer, which becomes NULL: ownership moves to the receiver. */
#define TAKE(p)                                                                                    \
    __extension__({                                                                                \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })

static inline void cleanup_heap(void *p)
{
    free(*(void **)p);
}

/* For anything from malloc: auto_free char *text = NULL; */
#define auto_free __attribute__((cleanup(cleanup_heap)))
