#include "common/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void check_failed(const char *expression, const char *file, int line, const char *func)
{
    char text[512];
    int len =
        snprintf(text, sizeof(text), "%s:%d: %s: CHECK failed: %s\n", file, line, func, expression);

    /* Not through stdio: another thread may hold its lock and never give it back. */
    if (len > 0 &&
        write(STDERR_FILENO, text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1) < 0)
        abort();
    abort();
}
