#include "tests/harness/postmaster.h"

#include <stdio.h>
#include <sys/shm.h>

#include "tests/harness/proc.h"

#define PATH_SIZE 4200

static void pid_file(const char *data, char ret[PATH_SIZE])
{
    (void)snprintf(ret, PATH_SIZE, "%s/postmaster.pid", data);
}

pid_t postmaster_pid(const char *data)
{
    char path[PATH_SIZE];

    pid_file(data, path);
    return pid_in(path, "postgres");
}

/* The seventh line of the pid file has its key and id. */
int postmaster_segment(const char *data)
{
    char path[PATH_SIZE], line[128] = "";
    int id = -1;

    pid_file(data, path);
    FILE *f = fopen(path, "re");
    for (int i = 0; f && i < 7 && fgets(line, sizeof(line), f); i++)
        continue;
    if (f)
        (void)fclose(f);
    return f && sscanf(line, "%*u %d", &id) == 1 ? id : -1;
}

bool postmaster_is_detached(void *segment)
{
    const int *id = segment;
    struct shmid_ds state;

    return *id < 0 || shmctl(*id, IPC_STAT, &state) != 0 || state.shm_nattch == 0;
}

void postmaster_remove_segment(const char *data)
{
    int id = postmaster_segment(data);

    if (id >= 0)
        (void)shmctl(id, IPC_RMID, NULL);
}
