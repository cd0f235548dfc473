/*
 * fuzz_httpd_filter: what the filter lets through is what two servers in a row
 * cannot disagree about, and its target decodes to a plain path.
 *
 * Input: lines; "METHOD TARGET VERSION", then "name:value" each.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/check.h"
#include "common/base/cleanup.h"
#include "common/io/httpd_filter.h"
#include "common/io/httpd_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the headers were, counted without the filter's help. */
struct seen {
    int hosts, lengths, encodings;
    long long length;
    bool plain;
};

static void see(struct seen *seen, const char *name, size_t name_len, const char *value,
                size_t value_len)
{
    static const char separators[] = " \t\"(),/:;<=>?@[\\]{}";

    for (size_t i = 0; i < name_len; i++)
        if (name[i] <= ' ' || name[i] >= 0x7f || strchr(separators, name[i]))
            seen->plain = false;
    if (memchr(value, '\r', value_len) || memchr(value, '\0', value_len))
        seen->plain = false;
    seen->hosts += name_len == 4 && strncasecmp(name, "host", 4) == 0;
    seen->encodings += name_len == 17 && strncasecmp(name, "transfer-encoding", 17) == 0;
    if (name_len == 14 && strncasecmp(name, "content-length", 14) == 0) {
        seen->lengths++;
        seen->length = atoll(value);
    }
}

static void check_query(const struct httpd_target *t, const char *text, size_t len)
{
    CHECK(t->query_count <= HTTPD_QUERY_MAX);
    for (size_t i = 0; i < t->query_count; i++) {
        const struct httpd_query_pair *pair = &t->query[i];
        CHECK(pair->name >= text && pair->name + strlen(pair->name) <= text + len);
        CHECK(pair->value >= text && pair->value + strlen(pair->value) <= text + len);
        CHECK(httpd_target_query(t, pair->name) == pair->value);
    }
}

static bool parse(const char *target, struct httpd_target *ret, char **ret_text)
{
    struct err e = {0};

    *ret_text = strdup(target);
    CHECK(*ret_text);
    const bool ok = httpd_target_parse(*ret_text, ret, &e);
    CHECK(ok || e.kind == ERR_INVALID);
    check_query(ret, *ret_text, strlen(target));
    return ok;
}

/* Slashes and dots are where they were, so segments mean the same before and after decoding. */
static void check_path(const char *target, const char *path)
{
    const size_t len = strcspn(target, "?");
    size_t slashes = 0;

    CHECK(path[0] == '/' && !strstr(path, "/../") && !strstr(path, "/./"));
    for (size_t i = 0; i < len; i++)
        slashes += target[i] == '/';
    for (; *path; path++) {
        CHECK((unsigned char)*path >= 0x20 && *path != 0x7f);
        slashes -= *path == '/';
    }
    CHECK(slashes == 0);
}

static void check_accepted(const struct httpd_filter *f, const struct seen *seen,
                           const char *target)
{
    auto_free char *text = NULL;
    struct httpd_target t;

    CHECK(seen->plain && seen->hosts <= 1 && seen->lengths <= 1 && seen->encodings <= 1);
    CHECK(f->http_1_0 || seen->hosts == 1);
    CHECK(f->chunked == (seen->encodings == 1) && !(f->chunked && seen->lengths == 1));
    CHECK(f->content_length == (seen->lengths == 1 ? seen->length : -1));
    CHECK(!f->bodyless || (!f->chunked && f->content_length <= 0));
    (void)parse(target, &t, &text);
    check_path(target, t.path);
}

static const char *word(char **line)
{
    const char *found = strsep(line, " ");

    return found ? found : "";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_free char *text = malloc(size + 1);
    auto_free char *decoded = NULL;
    struct seen seen = {.plain = true};
    struct httpd_filter f;
    struct httpd_target t;

    CHECK(text);
    memcpy(text, data, size);
    text[size] = '\0';
    char *rest = text, *line = strsep(&rest, "\n");
    const char *method = word(&line), *target = word(&line);
    httpd_filter_line(&f, method, target, word(&line));
    while (rest && (line = strsep(&rest, "\n"))) {
        size_t name_len = strcspn(line, ":");
        const char *value = line + name_len + (line[name_len] == ':');
        see(&seen, line, name_len, value, strlen(value));
        httpd_filter_header(&f, line, name_len, value, strlen(value));
    }
    const enum httpd_refusal refusal = httpd_filter_end(&f);
    CHECK(httpd_refusal_label(refusal) && httpd_refusal_detail(refusal));
    if (refusal == HTTPD_ACCEPTED)
        check_accepted(&f, &seen, target);
    else
        (void)parse(target, &t, &decoded); /* never reached, but must not crash either */
    return 0;
}
