#include "services/audit/report.h"

#include <inttypes.h>
#include <stdarg.h>

#include "common/io/js.h"

#define RULE_OF_SUMS "I6"

/* A new line, or NULL: there are enough. */
static struct report_line *add(struct report_lines *lines, int64_t times)
{
    lines->total += times;
    if (lines->count == REPORT_LINES_MAX)
        return NULL;
    struct report_line *line = &lines->lines[lines->count++];
    *line = (struct report_line){0};
    return line;
}

static const char *name_of(const struct page_names *names, int dc)
{
    return dc == JUDGE_STRANGER ? "" : names->names[dc];
}

static void describe(const struct page_names *names, const struct judge_finding *f, char *ret,
                     size_t size)
{
    const char *from = name_of(names, f->from), *to = name_of(names, f->to);

    switch (f->rule) {
    case JUDGE_RECEIVED:
        (void)snprintf(ret, size, "%s received %" PRId64 " from %s, which sent %" PRId64, to,
                       f->found, from, f->due);
        break;
    case JUDGE_SPENT:
        (void)snprintf(ret, size, "%" PRId64 " are spent, of %" PRId64 " in force at home in %s",
                       f->found, f->due, from);
        break;
    case JUDGE_MINTED:
        (void)snprintf(ret, size,
                       "%" PRId64 " are in force at home in %s, where at most %" PRId64
                       " were ever asked for",
                       f->found, from, f->due);
        break;
    case JUDGE_SUM:
        (void)snprintf(ret, size,
                       "%" PRId64 " are free, held, spent or on their way, of %" PRId64
                       " that were made",
                       f->found, f->due);
        break;
    case JUDGE_AWAY:
        (void)snprintf(ret, size, "%s made or destroyed %" PRId64 ", and is not the home", from,
                       f->found);
        break;
    case JUDGE_HOMES:
        (void)snprintf(ret, size,
                       "%" PRId64 " data centres say that they are its home, or they name"
                       " different ones",
                       f->found);
        break;
    case JUDGE_OVERDUE:
        (void)snprintf(ret, size, "%" PRId64 " from %s are still on their way to %s", f->found,
                       from, to);
        break;
    }
}

void report_finding(struct report *r, const struct page_names *names, const struct window_key *key,
                    const struct judge_finding *f)
{
    struct report_line *line = add(&r->violations, 1);

    if (!line)
        return;
    (void)snprintf(line->rule, sizeof(line->rule), "%s", judge_rule_ids[f->rule]);
    line->key = *key;
    describe(names, f, line->text, sizeof(line->text));
}

void report_own_audit(struct report *r, const struct source *s)
{
    for (size_t i = 0; i < s->checks_count; i++) {
        const struct source_check *check = &s->checks[i];
        struct report_line *line = add(&r->violations, check->violations);

        if (!line)
            continue;
        (void)snprintf(line->rule, sizeof(line->rule), "%s", check->id);
        (void)snprintf(line->dc, sizeof(line->dc), "%s", s->dc->name);
        (void)snprintf(line->text, sizeof(line->text), "%" PRId64 " times, as: %s",
                       check->violations, check->example);
    }
}

void report_moving(struct report *r, const struct window_key *key)
{
    struct report_line *line = add(&r->moving, 1);

    if (!line)
        return;
    (void)snprintf(line->rule, sizeof(line->rule), RULE_OF_SUMS);
    line->key = *key;
    (void)snprintf(line->text, sizeof(line->text), "moving, not checked for " RULE_OF_SUMS);
}

void report_problem(struct report *r, const char *fmt, ...)
{
    struct report_line *line = add(&r->problems, 1);
    va_list args;

    if (!line)
        return;
    va_start(args, fmt);
    (void)vsnprintf(line->text, sizeof(line->text), fmt, args);
    va_end(args);
}

enum report_status report_status(const struct report *r)
{
    if (r->violations.total > 0)
        return REPORT_VIOLATED;
    return r->problems.total > 0 ? REPORT_INCOMPLETE : REPORT_CLEAN;
}

/* ---- for people */

static void print_line(const struct report_line *line, const char *what, FILE *out)
{
    char starts_at[TIME_TEXT_SIZE];

    time_format(line->key.starts_at_ms, starts_at);
    (void)fprintf(out, "%s", what);
    if (line->rule[0] != '\0')
        (void)fprintf(out, " %s", line->rule);
    if (line->key.cap[0] != '\0')
        (void)fprintf(out, " %s %s", line->key.cap, starts_at);
    if (line->dc[0] != '\0')
        (void)fprintf(out, " %s's own audit", line->dc);
    (void)fprintf(out, ": %s\n", line->text);
}

static void print_lines(const struct report_lines *lines, const char *what, FILE *out)
{
    for (size_t i = 0; i < lines->count; i++)
        print_line(&lines->lines[i], what, out);
    if (lines->count == REPORT_LINES_MAX)
        (void)fprintf(out, "%s: these are %" PRId64 " in all\n", what, lines->total);
}

void report_print(const struct report *r, FILE *out)
{
    static const char *const results[] = {
        [REPORT_CLEAN] = "all is accounted for",
        [REPORT_VIOLATED] = "NOT all is accounted for",
        [REPORT_INCOMPLETE] = "incomplete",
    };

    print_lines(&r->moving, "moving", out);
    print_lines(&r->problems, "incomplete", out);
    print_lines(&r->violations, "violation", out);
    (void)fprintf(out,
                  "audit: windows %" PRId64 ", known in only some data centres %" PRId64
                  ", moving %" PRId64 ", sum not to be checked %" PRId64
                  ", transfers seen on their way %" PRId64 ", violations %" PRId64 "\n",
                  r->windows, r->partly_known, r->moving.total, r->unsummed, r->on_the_way,
                  r->violations.total);
    (void)fprintf(out, "audit: %s\n", results[report_status(r)]);
}

/* ---- for programs */

static void write_lines(struct js_writer *w, const char *key, const struct report_lines *lines)
{
    js_array(w, key);
    for (size_t i = 0; i < lines->count; i++) {
        const struct report_line *line = &lines->lines[i];

        js_object(w, NULL);
        if (line->rule[0] != '\0')
            js_text(w, "rule", line->rule);
        if (line->dc[0] != '\0')
            js_text(w, "dc", line->dc);
        if (line->key.cap[0] != '\0') {
            js_text(w, "cap", line->key.cap);
            js_time(w, "starts_at", line->key.starts_at_ms);
        }
        js_text(w, "text", line->text);
        js_object_end(w);
    }
    js_array_end(w);
}

void report_print_json(const struct report *r, FILE *out)
{
    auto_buf struct buf body = {0};
    struct js_writer w = {.out = &body};

    js_object(&w, NULL);
    js_bool(&w, "clean", report_status(r) == REPORT_CLEAN);
    js_bool(&w, "complete", r->problems.total == 0);
    js_i64(&w, "windows", r->windows);
    js_i64(&w, "partly_known", r->partly_known);
    js_i64(&w, "moving", r->moving.total);
    js_i64(&w, "unsummed", r->unsummed);
    js_i64(&w, "on_the_way", r->on_the_way);
    js_i64(&w, "violations", r->violations.total);
    write_lines(&w, "examples", &r->violations);
    write_lines(&w, "moving_examples", &r->moving);
    write_lines(&w, "problems", &r->problems);
    js_object_end(&w);
    (void)fprintf(out, "%s\n", buf_text(&body));
}
