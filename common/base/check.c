#include "common/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn void check_failed(const char *expression, const char *file, int line, const char *func)
{
    char text[512];

    (void)snprintf(text, sizeof(text), "%s:%d: %s: CHECK failed: %s\n", file, line, func,
                   expression);
    /* Not through stdio: another thread may hold its lock and never give it back. */
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written;
    abort();
}
