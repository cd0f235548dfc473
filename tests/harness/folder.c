/* folder: scratch folders; see proc.h. */

#include "tests/harness/proc.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "/tmp/volumecap-<pid>": the folders of a process that is gone can be told by their name. */
#define PREFIX "volumecap-"

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    (void)remove(path); /* what cannot be removed is found by the next sweep */
    return 0;
}

void folder_remove(const char *path)
{
    (void)nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void root_path(pid_t pid, char ret[64])
{
    snprintf(ret, 64, "/tmp/" PREFIX "%d", pid);
}

static void remove_root(void)
{
    char path[64];

    root_path(getpid(), path);
    folder_remove(path);
}

static void sweep_one(const char *name)
{
    char path[64];
    int pid = 0;
    char rest = '\0';

    if (sscanf(name, PREFIX "%d%c", &pid, &rest) != 1 || pid <= 0)
        return;
    if (kill(pid, 0) == 0 || errno != ESRCH)
        return;
    root_path(pid, path);
    folder_remove(path);
}

static void sweep(void)
{
    DIR *dir = opendir("/tmp");

    for (const struct dirent *d = dir ? readdir(dir) : NULL; d; d = readdir(dir))
        sweep_one(d->d_name);
    if (dir)
        closedir(dir);
}

/* Each process has a root of its own: a forked child does not remove its parent's. */
static void make_root(const char *root)
{
    if (mkdir(root, 0755) == 0) {
        sweep();
        atexit(remove_root);
    } else if (errno != EEXIST) {
        harness_fail("%s: %s", root, strerror(errno));
    }
}

char *folder_scratch(void)
{
    char root[64];
    char *path = malloc(PATH_MAX);

    root_path(getpid(), root);
    make_root(root);
    if (!path)
        harness_fail("out of memory");
    snprintf(path, PATH_MAX, "%s/XXXXXX", root);
    if (!mkdtemp(path) || chmod(path, 0755) != 0)
        harness_fail("%s: %s", path, strerror(errno));
    return path;
}
