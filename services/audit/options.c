#include "services/audit/options.h"

#include <getopt.h>
#include <string.h>

#define WAIT_MS_DEFAULT 10000
#define TRANSIT_MS_DEFAULT 10000

void options_usage(FILE *out)
{
    (void)fputs(
        "usage: audit [OPTIONS] NAME=URL...\n"
        "\n"
        "Reads the accounts of all data centres and checks that no unit was made or lost between\n"
        "them.  NAME is a data centre's name (LOCAL_DC), URL is where its local-svc answers:\n"
        "  audit east=http://127.0.0.1:8083 west=http://127.0.0.1:9083\n"
        "\n"
        "  --cap ID         only this cap (but the data centres' own audits are of all)\n"
        "  --wait-ms N      how long to wait for windows to come to rest (10000)\n"
        "  --transit-ms N   how long units may be on their way (10000)\n"
        "  --json           the result as JSON\n"
        "\n"
        "Exit status: 0 all is accounted for, 1 something is not, 2 bad usage, 3 something could\n"
        "not be read, or was not waited for, or no data centre knows the cap.  In the JSON, clean\n"
        "is what status 0 says, and complete is false if something was not read.\n",
        out);
}

static bool parse_url(const char *text, char ret[URL_SIZE], struct err *e)
{
    size_t len = strlen(text);

    if (strncmp(text, "http://", 7) != 0 || strpbrk(text, " \t\r\n?#"))
        return err_set(e, ERR_INVALID, "%.100s: must be an address that begins with http://", text);
    while (text[len - 1] == '/' && len > 7)
        len--;
    if (len == 7 || len >= URL_SIZE)
        return err_set(e, ERR_INVALID, "%.100s: an address has up to %d characters", text,
                       URL_SIZE - 1);
    memcpy(ret, text, len);
    ret[len] = '\0';
    return true;
}

static bool parse_dc(const char *text, struct options *o, struct err *e)
{
    struct options_dc *dc = &o->dcs[o->count];
    const char *equals = strchr(text, '=');

    if (!equals || equals - text >= NAME_SIZE)
        return err_set(e, ERR_INVALID, "%.100s: must be NAME=URL", text);
    if (o->count == JUDGE_DCS_MAX)
        return err_set(e, ERR_INVALID, "more than %d data centres", JUDGE_DCS_MAX);
    memcpy(dc->name, text, (size_t)(equals - text));
    if (!name_is_valid(dc->name))
        return err_set(e, ERR_INVALID, "%.100s: a name has " NAME_RULE, text);
    for (size_t i = 0; i < o->count; i++)
        if (strcmp(o->dcs[i].name, dc->name) == 0)
            return err_set(e, ERR_INVALID, "%s is given twice", dc->name);
    if (!parse_url(equals + 1, dc->url, e))
        return false;
    o->count++;
    return true;
}

static bool parse_cap(const char *text, struct options *o, struct err *e)
{
    if (!name_is_valid(text))
        return err_set(e, ERR_INVALID, "--cap %.80s: a cap's id has " NAME_RULE, text);
    (void)snprintf(o->cap, sizeof(o->cap), "%s", text);
    return true;
}

static bool parse_ms(const char *name, const char *text, int64_t *ret, struct err *e)
{
    return num_parse_i64(text, 0, OPTIONS_WAIT_MS_MAX, ret, e) || err_while(e, "%s", name);
}

static bool parse_option(int option, struct options *o, struct err *e)
{
    switch (option) {
    case 'c': return parse_cap(optarg, o, e);
    case 'w': return parse_ms("--wait-ms", optarg, &o->wait_ms, e);
    case 't': return parse_ms("--transit-ms", optarg, &o->transit_ms, e);
    case 'j': o->json = true; return true;
    case 'h': o->help = true; return true;
    default: return err_set(e, ERR_INVALID, "an option is not known, or has no value");
    }
}

bool options_parse(int argc, char **argv, struct options *ret, struct err *e)
{
    static const struct option known[] = {
        {"cap", required_argument, NULL, 'c'},
        {"wait-ms", required_argument, NULL, 'w'},
        {"transit-ms", required_argument, NULL, 't'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option = 0;

    *ret = (struct options){.wait_ms = WAIT_MS_DEFAULT, .transit_ms = TRANSIT_MS_DEFAULT};
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
        if (!parse_option(option, ret, e))
            return false;
    if (ret->help)
        return true;
    for (int i = optind; i < argc; i++)
        if (!parse_dc(argv[i], ret, e))
            return false;
    return ret->count > 0 || err_set(e, ERR_INVALID, "which data centres?");
}
