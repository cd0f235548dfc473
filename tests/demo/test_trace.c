#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "tests/demo/clf.h"
#include "tests/demo/plan.h"
#include "tests/demo/trace.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct key_row {
    const char *name, *path, *key;
} key_rows[] = {
    {"a plain path keeps its look", "/blog/tags/puppet", "blog_tags_puppet"},
    {"the start page has a key", "/", "_"},
    {"dots and dashes stay", "/a-b/c.d", "a-b_c.d"},
    {"a slash at the end counts", "/projects/", "projects_"},
};

Test(clf, an_ordinary_path_is_a_readable_key)
{
    char key[NAME_SIZE];

    for (size_t i = 0; i < COUNT(key_rows); i++) {
        clf_key(key_rows[i].path, strlen(key_rows[i].path), key);
        cr_expect_str_eq(key, key_rows[i].key, "%s: %s", key_rows[i].name, key);
    }
}

Test(clf, different_paths_are_different_valid_keys)
{
    static const char *const paths[] = {
        "/",
        "//",
        "/a/b",
        "/a_b",
        "/a%2fb",
        "/a-b",
        "/a//b",
        "/_",
        "/a b",
        "/\xc3\xa9",
        "/0123456789012345678901234567890123456789012345678901234567890123456789/x",
        "/0123456789012345678901234567890123456789012345678901234567890123456789/y",
    };
    char keys[COUNT(paths)][NAME_SIZE];

    for (size_t i = 0; i < COUNT(paths); i++) {
        clf_key(paths[i], strlen(paths[i]), keys[i]);
        cr_expect(name_is_valid(keys[i]), "%s gives %s", paths[i], keys[i]);
        for (size_t k = 0; k < i; k++)
            cr_expect(strcmp(keys[i], keys[k]) != 0, "%s and %s", paths[i], paths[k]);
    }
}

Test(clf, a_line_tells_when_who_and_what)
{
    struct clf_request r = {0};

    cr_assert(clf_parse("192.0.2.7 - bob [17/May/2015:12:05:03 +0200] \"GET /a/b?q=1 HTTP/1.1\" "
                        "200 5 \"-\" \"x\"",
                        &r));
    cr_expect(r.at_s == 1431857103);
    cr_expect_str_eq(r.client, "192.0.2.7");
    cr_expect_str_eq(r.key, "a_b");
}

Test(clf, what_is_no_request_is_passed_over)
{
    static const char *const lines[] = {
        "",
        "hello",
        "a - - [17/May/2015:10:05:03 +0000] \"-\" 400 0",
        "a - - [17/Mai/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1",
        "a - - [47/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1",
        "a - - [17/May/2015:10:05:03] \"GET / HTTP/1.1\" 200 1",
        "a - - [17/May/2015:10:05:03 +0000] \"OPTIONS * HTTP/1.1\" 200 1",
        " - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1",
        "a \"GET /\" [17/May/2015:10:05:03 +0000]",
    };
    struct clf_request r;

    for (size_t i = 0; i < COUNT(lines); i++)
        cr_expect(!clf_parse(lines[i], &r), "%s", lines[i]);
}

Test(trace, what_is_written_is_what_is_read)
{
    static const char log[] = "b - - [17/May/2015:10:00:05 +0000] \"GET /late HTTP/1.1\" 200 1\n"
                              "a - - [17/May/2015:10:00:01 +0000] \"GET /soon HTTP/1.1\" 200 1\n"
                              "nonsense\n"
                              "b - - [17/May/2015:10:00:05 +0000] \"GET /last HTTP/1.1\" 200 1\n";
    char log_path[] = "/tmp/volumecap-test-log-XXXXXX";
    char trace_path[] = "/tmp/volumecap-test-trace-XXXXXX";
    auto_trace struct trace *from_log = NULL;
    auto_trace struct trace *from_file = NULL;
    struct err e = {0};
    int fd = mkstemp(log_path);

    cr_assert(fd >= 0 && write(fd, log, strlen(log)) == (ssize_t)strlen(log));
    close(fd);
    cr_assert(trace_from_log(log_path, &from_log, &e), "%s", e.msg);
    cr_expect(from_log->count == 3 && from_log->passed_over == 1);

    FILE *out = fdopen(mkstemp(trace_path), "w");
    cr_assert(out);
    fputs("# a comment\n", out);
    trace_write(from_log, out);
    cr_assert(fclose(out) == 0);
    cr_assert(trace_load(trace_path, &from_file, &e), "%s", e.msg);
    unlink(log_path);
    unlink(trace_path);

    static const char *const keys[] = {"soon", "late", "last"};
    cr_assert(from_file->count == 3);
    for (size_t i = 0; i < 3; i++) {
        const struct trace_row *row = &from_file->rows[i];
        cr_expect_str_eq(names_text(from_file->keys, row->key), keys[i]);
        cr_expect(row->at_s == from_log->rows[i].at_s);
    }
}

Test(trace, a_file_that_is_not_there_is_an_error)
{
    struct trace *t = NULL;
    struct err e = {0};

    cr_expect(!trace_load("/nowhere/at/all", &t, &e) && e.kind == ERR_NOT_FOUND);
}

/* The committed trace, on which the demo and its promises stand. */
Test(plan, the_200_most_requested_paths_get_less_than_they_ask_for)
{
    auto_trace struct trace *t = NULL;
    struct err e = {0};
    int64_t demand = 0;

    cr_assert(trace_load(VOLUMECAP_DATA "/trace-2015-05.txt", &t, &e), "%s", e.msg);
    auto_plan struct plan *p = plan_new(t, 60);
    cr_expect(t->count == 10000 && t->passed_over == 0);
    cr_expect(p->caps_count == 200);
    cr_expect(p->starts_at_s <= t->rows[0].at_s && p->ends_at_s > t->rows[9999].at_s);
    for (int i = 0; i < p->caps_count; i++) {
        const struct plan_cap *cap = &p->caps[i];
        demand += cap->demand;
        cr_expect(cap->total >= 1 && 4 * cap->total < cap->demand, "%s", plan_cap_id(p, i));
        cr_expect(i == 0 || p->caps[i - 1].demand >= cap->demand, "%s", plan_cap_id(p, i));
    }
    cr_expect(demand == 7877, "%lld", (long long)demand);
}
