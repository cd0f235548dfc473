#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/config.h"

struct config {
    int64_t port;
    int64_t offset;
    const char *url;
    const char *db;
    const char *dc;
    const char *name;
    const char *log_level;
};

/* clang-format off */
static const struct config_row rows[] = {
    CONFIG_INT("DEMO_PORT", struct config, port, "8083", 0, 65535, "port, 0 picks any"),
    CONFIG_INT("DEMO_OFFSET_MS", struct config, offset, "-5", -10, 10, "offset in ms"),
    CONFIG_TEXT("DEMO_URL", struct config, url, "http://a", "where a is"),
    CONFIG_SECRET("DEMO_DB", struct config, db, NULL, "libpq conninfo"),
    CONFIG_NAME("DEMO_DC", struct config, dc, "local", "name of this data centre"),
    CONFIG_HOST_NAME("DEMO_NAME", struct config, name, "name of this replica"),
    CONFIG_LOG_LEVEL("DEMO_LOG_LEVEL", struct config, log_level),
};
/* clang-format on */

static const struct config_table table = {
    .program = "demo-svc",
    .what = "Shows how settings are read.",
    .prefix = "DEMO_",
    .rows = rows,
    .count = sizeof(rows) / sizeof(rows[0]),
};

static void set_required(void)
{
    cr_assert(setenv("DEMO_DB", "password=hush", 1) == 0);
}

Test(config, defaults_stand_in_for_what_is_not_set, .init = set_required)
{
    struct config config = {0};
    struct err e;

    cr_assert(config_load(&table, &config, &e), "%s", e.msg);
    cr_expect(config.port == 8083);
    cr_expect(config.offset == -5);
    cr_expect_str_eq(config.url, "http://a");
    cr_expect_str_eq(config.db, "password=hush");
    cr_expect_str_eq(config.dc, "local");
    cr_expect_str_eq(config.log_level, "info");
}

Test(config, who_has_no_name_takes_the_hosts, .init = set_required)
{
    struct config config = {0};
    char host[256] = "";
    struct err e;

    cr_assert(gethostname(host, sizeof(host) - 1) == 0);
    cr_assert(config_load(&table, &config, &e), "%s", e.msg);
    cr_expect_str_eq(config.name, host);
    cr_assert(setenv("DEMO_NAME", "a", 1) == 0);
    cr_assert(config_load(&table, &config, &e), "%s", e.msg);
    cr_expect_str_eq(config.name, "a");
}

Test(config, the_log_level_is_set_as_it_says)
{
    const struct config warn = {.log_level = "warn"}, odd = {.log_level = "loud"};
    struct err e = {.msg = ""};

    cr_expect(config_set_log_level(&table, &warn, &e), "%s", e.msg);
    cr_expect_not(config_set_log_level(&table, &odd, &e));
    cr_expect(strstr(e.msg, "DEMO_LOG_LEVEL: the log level must be") == e.msg, "%s", e.msg);
}

Test(config, the_environment_wins, .init = set_required)
{
    struct config config = {0};
    struct err e;

    cr_assert(setenv("DEMO_PORT", "0", 1) == 0);
    cr_assert(setenv("DEMO_URL", "", 1) == 0);
    cr_assert(config_load(&table, &config, &e), "%s", e.msg);
    cr_expect(config.port == 0);
    cr_expect_str_eq(config.url, "", "a text that is not required may be empty");
}

static const struct refusal_row {
    const char *name, *variable, *value, *message;
} refusals[] = {
    {"a number too large", "DEMO_PORT", "65536", "DEMO_PORT: not an integer from 0 to 65535"},
    {"a number too small", "DEMO_OFFSET_MS", "-11", "DEMO_OFFSET_MS: not an integer"},
    {"not a number", "DEMO_PORT", "http", "DEMO_PORT: not an integer"},
    {"an empty number", "DEMO_PORT", "", "DEMO_PORT: not an integer"},
    {"an empty text that is required", "DEMO_DB", "", "DEMO_DB is required"},
    {"an empty name", "DEMO_DC", "", "DEMO_DC must be 1 to 64 characters"},
    {"a name that is none", "DEMO_DC", "a b", "DEMO_DC must be 1 to 64 characters"},
    {"a replica's that is none", "DEMO_NAME", "/", "DEMO_NAME must be 1 to 64 characters"},
    {"a misspelt setting", "DEMO_PROT", "1", "DEMO_PROT is not a setting of demo-svc"},
    {"a setting with more behind it", "DEMO_PORTS", "1", "DEMO_PORTS is not a setting"},
    {"a setting cut short", "DEMO_POR", "1", "DEMO_POR is not a setting"},
};

Test(config, each_mistake_is_refused_by_name, .init = set_required)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal_row *r = &refusals[i];
        struct config config = {0};
        struct err e = {.msg = ""};
        cr_assert(setenv(r->variable, r->value, 1) == 0);
        cr_expect_not(config_load(&table, &config, &e), "%s", r->name);
        cr_expect(strstr(e.msg, r->message) != NULL, "%s: %s", r->name, e.msg);
        cr_assert(unsetenv(r->variable) == 0);
        set_required();
    }
}

Test(config, a_required_text_that_is_missing_is_refused)
{
    struct config config = {0};
    struct err e = {.msg = ""};

    cr_expect_not(config_load(&table, &config, &e));
    cr_expect_str_eq(e.msg, "DEMO_DB is required: libpq conninfo");
}

Test(config, variables_of_others_do_not_matter, .init = set_required)
{
    struct config config = {0};
    struct err e;

    cr_assert(setenv("DEM_PORT", "x", 1) == 0);
    cr_assert(setenv("XDEMO_PORT", "x", 1) == 0);
    cr_expect(config_load(&table, &config, &e), "%s", e.msg);
}

Test(config, help_shows_each_setting_with_range_and_default)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    cr_assert(out != NULL);
    config_help(&table, out);
    cr_assert(fclose(out) == 0);
    for (size_t i = 0; i < table.count; i++) {
        cr_expect(strstr(text, rows[i].env) != NULL, "%s", rows[i].env);
        cr_expect(strstr(text, rows[i].what) != NULL, "%s", rows[i].env);
    }
    cr_expect(strstr(text, "usage: demo-svc") != NULL);
    cr_expect(strstr(text, "0 to 65535; default \"8083\"") != NULL);
    cr_expect(strstr(text, "never logged; required") != NULL);
    free(text);
}

Test(config, the_log_shows_values_but_no_secret)
{
    const struct config config = {.port = 1, .offset = -2, .url = "http://b", .db = "hush"};
    char path[] = "/tmp/test_config.XXXXXX", text[4096] = "";
    int fd = mkstemp(path);

    cr_assert(fd >= 0 && unlink(path) == 0);
    cr_assert(dup2(fd, STDERR_FILENO) >= 0);
    config_log(&table, &config);
    cr_assert(pread(fd, text, sizeof(text) - 1, 0) > 0);
    cr_expect(strstr(text, "name=DEMO_PORT value=1\n") != NULL, "%s", text);
    cr_expect(strstr(text, "name=DEMO_OFFSET_MS value=-2\n") != NULL, "%s", text);
    cr_expect(strstr(text, "name=DEMO_URL value=http://b\n") != NULL, "%s", text);
    cr_expect(strstr(text, "name=DEMO_DB value=***\n") != NULL, "%s", text);
    cr_expect(strstr(text, "hush") == NULL);
}
