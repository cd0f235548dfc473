#include "common/base/config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/num.h"

#define HOST_NAME_SIZE 256

static int64_t *int_of(const struct config_row *row, void *config)
{
    return (int64_t *)(void *)((char *)config + row->offset);
}

static const char **text_of(const struct config_row *row, void *config)
{
    return (const char **)(void *)((char *)config + row->offset);
}

/* It lives as long as the process, like the environment that the other texts are in. */
static const char *host_name(void)
{
    static char name[HOST_NAME_SIZE];

    (void)gethostname(name, sizeof(name) - 1);
    return name;
}

static bool load_text(const struct config_row *row, const char *value, const char **ret,
                      struct err *e)
{
    const bool is_name = row->kind == CONFIG_KIND_NAME || row->kind == CONFIG_KIND_HOST_NAME;

    if (row->kind == CONFIG_KIND_HOST_NAME && value[0] == '\0')
        value = host_name();
    if (is_name && !name_check(row->env, value, e))
        return false;
    *ret = value;
    return true;
}

static bool load_row(const struct config_row *row, void *config, struct err *e)
{
    const char *value = getenv(row->env);

    if (row->dflt == NULL && (value == NULL || value[0] == '\0'))
        return err_set(e, ERR_INVALID, "%s is required: %s", row->env, row->what);
    if (value == NULL)
        value = row->dflt;
    if (row->kind != CONFIG_KIND_INT)
        return load_text(row, value, text_of(row, config), e);
    return num_parse_i64(value, row->min, row->max, int_of(row, config), e) ||
           err_while(e, "%s", row->env);
}

static bool is_known(const struct config_table *t, const char *name, size_t len)
{
    for (size_t i = 0; i < t->count; i++)
        if (strlen(t->rows[i].env) == len && strncmp(t->rows[i].env, name, len) == 0)
            return true;
    return false;
}

static bool refuse_unknown(const struct config_table *t, struct err *e)
{
    for (char **variable = environ; *variable != NULL; variable++) {
        size_t len = strcspn(*variable, "=");
        if (strncmp(*variable, t->prefix, strlen(t->prefix)) == 0 && !is_known(t, *variable, len))
            return err_set(e, ERR_INVALID, "%.*s is not a setting of %s (see --help)", (int)len,
                           *variable, t->program);
    }
    return true;
}

bool config_load(const struct config_table *t, void *ret, struct err *e)
{
    for (size_t i = 0; i < t->count; i++) {
        CHECK(strncmp(t->rows[i].env, t->prefix, strlen(t->prefix)) == 0);
        if (!load_row(&t->rows[i], ret, e))
            return false;
    }
    return refuse_unknown(t, e);
}

static void help_row(const struct config_row *row, FILE *out)
{
    (void)fprintf(out, "  %s\n      %s\n      ", row->env, row->what);
    if (row->kind == CONFIG_KIND_INT)
        (void)fprintf(out, "%lld to %lld; ", (long long)row->min, (long long)row->max);
    if (row->kind == CONFIG_KIND_SECRET)
        (void)fprintf(out, "never logged; ");
    if (row->dflt != NULL)
        (void)fprintf(out, "default \"%s\"\n", row->dflt);
    else
        (void)fprintf(out, "required\n");
}

void config_help(const struct config_table *t, FILE *out)
{
    (void)fprintf(out,
                  "usage: %s [--help | --version]\n\n%s\n\nSettings (environment variables):\n",
                  t->program, t->what);
    for (size_t i = 0; i < t->count; i++)
        help_row(&t->rows[i], out);
}

static const char *text_in(const struct config_row *row, const void *config)
{
    const char *text = NULL;

    memcpy(&text, (const char *)config + row->offset, sizeof(text));
    return text;
}

static struct log_kv value_of(const struct config_row *row, const void *config)
{
    int64_t number = 0;

    if (row->kind == CONFIG_KIND_SECRET)
        return log_str("value", "***");
    if (row->kind != CONFIG_KIND_INT)
        return log_str("value", text_in(row, config));
    memcpy(&number, (const char *)config + row->offset, sizeof(number));
    return log_i64("value", number);
}

void config_log(const struct config_table *t, const void *config)
{
    for (size_t i = 0; i < t->count; i++)
        log_event(LOG_INFO, "config.setting", log_str("name", t->rows[i].env),
                  value_of(&t->rows[i], config));
}

bool config_set_log_level(const struct config_table *t, const void *config, struct err *e)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->rows[i].kind == CONFIG_KIND_LOG_LEVEL &&
            !log_level_set_name(text_in(&t->rows[i], config), e))
            return err_while(e, "%s", t->rows[i].env);
    return true;
}
