/* replay: runs a fuzz target once for each file of a folder, so that what was found stays fixed. */

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"

#define INPUT_MAX ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In memory of just that size, so that a sanitizer sees any byte read too many. */
static int replay(const char *path)
{
    auto_free uint8_t *room = malloc(INPUT_MAX);
    FILE *f = fopen(path, "re");

    if (!room || !f) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 1;
    }
    const size_t size = fread(room, 1, INPUT_MAX, f);
    (void)fclose(f);
    auto_free uint8_t *data = malloc(size > 0 ? size : 1);
    if (!data)
        return 1;
    memcpy(data, room, size);
    printf("%s\n", path);
    (void)fflush(stdout);
    return LLVMFuzzerTestOneInput(data, size);
}

int main(int argc, char **argv)
{
    struct dirent **entries = NULL;
    const int count = argc == 2 ? scandir(argv[1], &entries, NULL, alphasort) : -1;
    int inputs = 0, failed = 0;

    for (int i = 0; i < count; i++) {
        auto_free struct dirent *entry = entries[i];
        char path[4096];
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
        failed |= replay(path);
        inputs++;
    }
    free((void *)entries);
    if (inputs == 0)
        fprintf(stderr, "usage: %s FOLDER with at least one input\n", argv[0]);
    return failed || inputs == 0;
}
