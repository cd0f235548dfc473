/* What remote-svc answers. */

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/contract/exchanges.h"
#include "tests/harness/proc.h"
#include "tests/harness/svc.h"

/* Nobody listens there: what an operator asks is answered all the same. */
#define NO_BROKER "amqp://guest:guest@127.0.0.1:1"

static const struct exchange list[] = {
    {"GET", "/peers", .status = 200, .contains = "\"dc\":\"there\""},
    {"GET", "/peers", .status = 200, .contains = "\"hears_us\":null"},
    {"GET", "/peers?deep=1", .status = 400},
    {"POST", "/peers", .status = 405},
    {"GET", "/readyz?verbose", .status = 503},
};

static void write_keys(const char *path)
{
    FILE *f = fopen(path, "w");

    cr_assert(f != NULL && fchmod(fileno(f), 0600) == 0);
    for (int i = 0; i < 2; i++)
        (void)fprintf(f, "%s first %064d\n", i == 0 ? "here" : "there", i + 1);
    cr_assert(fclose(f) == 0);
}

Test(remote_svc, answers)
{
    auto_free char *folder = folder_scratch();
    char keys[300], setting[320];

    (void)snprintf(keys, sizeof(keys), "%s/keys", folder);
    (void)snprintf(setting, sizeof(setting), "REMOTE_KEYS=%s", keys);
    write_keys(keys);
    const char *const env[] = {"REMOTE_DC=here",
                               "REMOTE_ALONE=1",
                               "REMOTE_BROKER=" NO_BROKER,
                               "REMOTE_PEERS=there=" NO_BROKER,
                               setting,
                               NULL};
    auto_svc struct svc *s =
        svc_start(&(struct svc_options){.name = "remote-svc", .prefix = "REMOTE", .env = env});
    auto_wire struct wire *w = wire_new("remote-svc", svc_port(s));

    wire_expect(w, list, COUNT(list));
}

/* A data centre on its own needs no broker to be ready. */
Test(remote_svc, answers_alone)
{
    static const char *const env[] = {"REMOTE_DC=here", NULL};
    auto_svc struct svc *s =
        svc_start(&(struct svc_options){.name = "remote-svc", .prefix = "REMOTE", .env = env});
    auto_wire struct wire *w = wire_new("remote-svc", svc_port(s));

    exchanges_builtin(w);
}
