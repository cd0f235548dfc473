#include "tests/scenario/guest.h"

#include <stdio.h>
#include <sys/wait.h>

#include "common/base/check.h"

#define STOP_MS 60000 /* a server ends in 10 s, on a machine that is not busy */

struct guest guest_new(const struct scene *s, const char *name)
{
    struct guest g = {.port = (int)port_free(), .local_port = dc_port(s->dc, DC_LOCAL, 0)};

    snprintf(g.name, sizeof(g.name), "%s", name);
    guest_use_ledger(&g, dc_folder(s->dc), name);
    return g;
}

void guest_use_ledger(struct guest *g, const char *folder, const char *file)
{
    int len = snprintf(g->ledger, sizeof(g->ledger), "%s/%s.ledger", folder, file);

    CHECK(len < (int)sizeof(g->ledger));
}

static void spawn(struct guest *g)
{
    char env[5][300];
    const char *const list[] = {env[0], env[1], env[2], env[3], g->entries ? env[4] : NULL, NULL};
    const char *const argv[] = {VOLUMECAP_BIN "/volumecap-server", NULL};
    char log[300];

    snprintf(env[0], sizeof(env[0]), "SERVER_NAME=%s", g->name);
    snprintf(env[1], sizeof(env[1]), "SERVER_LEDGER=%s", g->ledger);
    snprintf(env[2], sizeof(env[2]), "SERVER_PORT=%d", g->port);
    snprintf(env[3], sizeof(env[3]), "SERVER_LOCAL_URL=http://127.0.0.1:%d", g->local_port);
    snprintf(env[4], sizeof(env[4]), "SERVER_LEDGER_ENTRIES=%d", g->entries);
    snprintf(log, sizeof(log), "%s.log", g->ledger);
    CHECK(g->proc == NULL);
    g->proc = proc_start(&(struct proc_options){.argv = argv, .env = list, .log = log});
}

static bool is_ready(struct guest *g)
{
    cr_assert(proc_is_running(g->proc), "%s has ended", g->name);
    return status_of(g->client, "GET", "/readyz", NULL) == 200;
}

void guest_start(struct guest *g)
{
    spawn(g);
    if (!g->client)
        g->client = client_new("volumecap-server", g->port);
    eventually(is_ready(g));
}

void guest_kill(struct guest *g)
{
    proc_kill(g->proc);
    g->proc = proc_free(g->proc);
}

void guest_stop(struct guest *g)
{
    cr_expect_eq(proc_stop(g->proc, STOP_MS), 0);
    g->proc = proc_free(g->proc);
}

int guest_refused(struct guest *g)
{
    int status = 0;

    spawn(g);
    cr_assert(proc_wait(g->proc, SCENE_PATIENCE_MS, &status), "%s goes on", g->name);
    g->proc = proc_free(g->proc);
    cr_assert(WIFEXITED(status), "%s was killed by signal %d", g->name, WTERMSIG(status));
    return WEXITSTATUS(status);
}

void guest_done(struct guest *g)
{
    if (g->proc)
        guest_kill(g);
    g->client = client_free(g->client);
}
