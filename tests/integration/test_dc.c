/* dc: what `./run up`, `status` and `down` do, and say. */

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/harness/dc.h"
#include "tests/harness/postmaster.h"
#include "tests/harness/program.h"

#define LIMIT_MS 60000
#define META_PORT 8081
#define PATH_SIZE 300

enum { OK = 0, FAILED = 1, INTERRUPTED = 130 };

struct stage {
    struct program program;
    char folder[PATH_SIZE];
};

static void set(struct stage *s)
{
    program_init(&s->program);
    snprintf(s->folder, sizeof(s->folder), "%s/up", s->program.folder);
}

static int dc(struct stage *s, const char *command)
{
    const char *const args[] = {command, "--dir", s->folder, NULL};

    return program_run(&s->program, "dc", args);
}

/* What is up outlives us: no test may end without this. */
static void strike(struct stage *s)
{
    cr_expect_eq(dc(s, "down"), OK, "%s", s->program.output);
    program_done(&s->program);
}

static void expect_said(struct stage *s, const char *text)
{
    cr_expect(strstr(s->program.output, text) != NULL, "no \"%s\" in: %s", text, s->program.output);
}

Test(dc, with_nothing_up_it_says_so)
{
    struct stage s;

    set(&s);
    cr_expect_eq(dc(&s, "status"), FAILED);
    expect_said(&s, "nothing is up\n");
    cr_expect_eq(dc(&s, "locals"), FAILED);
    expect_said(&s, "./run audit east=http://");
    strike(&s);
}

/* If somebody else has it, that is as good. */
static int take_port(int port)
{
    const struct sockaddr_in a = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_geq(fd, 0);
    if (bind(fd, (const struct sockaddr *)&a, sizeof(a)) == 0)
        cr_assert_eq(listen(fd, 1), 0);
    return fd;
}

/* PostgreSQL of the data centre that is up. */
static void crash_database(struct stage *s)
{
    char path[PATH_SIZE + 8];

    snprintf(path, sizeof(path), "%s/dc1", s->folder);
    struct dc *d = dc_attach(path);
    if (d)
        dc_crash_database(d);
    cr_expect(d != NULL);
    (void)dc_forget(d);
}

/* On a busy machine a service may be too slow to be called ready: only a failure is looked for. */
Test(dc, status_shows_other_ports_and_a_dead_database)
{
    struct stage s;
    int fd = take_port(META_PORT);

    set(&s);
    (void)dc(&s, "up");
    expect_said(&s, "8081 was taken: meta-svc has ");
    (void)dc(&s, "status");
    expect_said(&s, "8081 was taken: meta-svc has ");
    expect_said(&s, "dbname=volumecap\" running\n");
    crash_database(&s);
    cr_expect_eq(dc(&s, "status"), FAILED, "%s", s.program.output);
    expect_said(&s, "dbname=volumecap\" dead\n");
    (void)dc(&s, "up");
    expect_said(&s, "dbname=volumecap\" running\n");
    strike(&s);
    close(fd);
}

struct cluster {
    char data[PATH_SIZE + 32];
    int segment;
};

/* template1 is there, and a process works on it. */
static bool is_half_made(void *arg)
{
    struct cluster *c = arg;
    char path[PATH_SIZE + 64];

    snprintf(path, sizeof(path), "%s/base/1/PG_VERSION", c->data);
    c->segment = access(path, F_OK) == 0 ? postmaster_segment(c->data) : -1;
    return c->segment >= 0;
}

Test(dc, a_start_that_is_interrupted_in_initdb_leaves_no_shared_memory)
{
    struct stage s;
    struct cluster c;
    struct shmid_ds state;

    set(&s);
    snprintf(c.data, sizeof(c.data), "%s/dc1/postgresql/data", s.folder);
    const char *const args[] = {"up", "--dir", s.folder, NULL};
    program_start(&s.program, "dc", args);
    cr_expect(harness_await(is_half_made, &c, LIMIT_MS), "%s", program_output(&s.program));
    proc_signal(s.program.proc, SIGINT);
    cr_expect_eq(program_finish(&s.program), INTERRUPTED, "%s", s.program.output);
    cr_expect_eq(shmctl(c.segment, IPC_STAT, &state), -1, "segment %d is left", c.segment);
    cr_expect_neq(access(s.folder, F_OK), 0);
    strike(&s);
}
