#include "tests/harness/svc.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"

#define ENV_MAX 12
#define START_MS 120000
#define STOP_MS 60000
#define VALUE_SIZE 512

struct svc {
    char program[256];
    char settings[ENV_MAX][VALUE_SIZE]; /* ours: a restart outlives what the caller gave */
    const char *env[ENV_MAX + 1];       /* into `settings`, NULL-terminated */
    int port;
    struct proc *proc;
    struct client *client;
};

static bool is_alive(void *arg)
{
    const struct svc *s = arg;
    const struct call call = {.method = "GET", .path = "/livez"};
    struct answer answer = {0};
    struct err e;

    if (!proc_is_running(s->proc))
        harness_fail("%s has ended while starting", s->program);
    return client_call(s->client, &call, &answer, &e) && answer.status == 200;
}

static void launch(struct svc *s)
{
    const char *const argv[] = {s->program, NULL};

    s->proc = proc_start(&(struct proc_options){.argv = argv, .env = s->env});
    if (!harness_await(is_alive, s, START_MS))
        harness_fail("%s does not start", s->program);
}

static void set(struct svc *s, size_t i, const char *setting)
{
    CHECK(i < ENV_MAX && strlen(setting) < VALUE_SIZE);
    memcpy(s->settings[i], setting, strlen(setting) + 1);
    s->env[i] = s->settings[i];
}

static void set_env(struct svc *s, const struct svc_options *o)
{
    char setting[VALUE_SIZE];
    size_t count = 0;

    (void)snprintf(setting, sizeof(setting), "%s_PORT=%d", o->prefix, s->port);
    set(s, count++, setting);
    if (o->conninfo != NULL) {
        (void)snprintf(setting, sizeof(setting), "%s_DB=%s", o->prefix, o->conninfo);
        set(s, count++, setting);
    }
    for (size_t i = 0; o->env != NULL && o->env[i] != NULL; i++)
        set(s, count++, o->env[i]);
}

struct svc *svc_start(const struct svc_options *o)
{
    struct svc *s = calloc(1, sizeof(*s));

    CHECK(s != NULL);
    httpc_global_init();
    s->port = (int)port_free();
    (void)snprintf(s->program, sizeof(s->program), "%s/%s", VOLUMECAP_BIN, o->name);
    set_env(s, o);
    s->client = client_new(o->name, s->port);
    launch(s);
    return s;
}

struct client *svc_client(const struct svc *s)
{
    return s->client;
}

int svc_port(const struct svc *s)
{
    return s->port;
}

int svc_pid(const struct svc *s)
{
    return (int)proc_pid(s->proc);
}

void svc_kill(struct svc *s)
{
    proc_kill(s->proc);
    s->proc = proc_free(s->proc);
}

void svc_freeze(struct svc *s)
{
    proc_signal(s->proc, SIGSTOP);
}

void svc_thaw(struct svc *s)
{
    proc_signal(s->proc, SIGCONT);
}

void svc_restart(struct svc *s)
{
    CHECK(s->proc == NULL);
    launch(s);
}

struct svc *svc_stop(struct svc *s)
{
    if (s == NULL)
        return NULL;
    if (s->proc != NULL) {
        int status = proc_stop(s->proc, STOP_MS);
        if (status != 0)
            harness_fail("%s stopped with wait status %d", s->program, status);
        (void)proc_free(s->proc);
    }
    (void)client_free(s->client);
    free(s);
    return NULL;
}
