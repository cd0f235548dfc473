#include "tests/demo/page.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HOUR_S INT64_C(3600)
#define CAPS 9 /* the busiest, in rows of three */

/* A drawing's inner area, in its own units, and what its axes stand for. */
struct chart {
    FILE *out;
    double width, height;
    int64_t hours;
    int64_t most; /* at the top */
};

#define LEFT 44.0
#define TOP 20.0
#define BOTTOM 22.0

static double x_of(const struct chart *c, double hour)
{
    return LEFT + (c->width - LEFT - 8) * hour / (double)c->hours;
}

static double y_of(const struct chart *c, int64_t value)
{
    return TOP + (c->height - TOP - BOTTOM) * (1 - (double)value / (double)c->most);
}

static void text(const struct chart *c, double x, double y, const char *kind, const char *words)
{
    fprintf(c->out, "<text x='%.1f' y='%.1f' class='%s'>%s</text>", x, y, kind, words);
}

static void line(const struct chart *c, double x1, double y1, double x2, double y2,
                 const char *kind)
{
    fprintf(c->out, "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' class='%s'/>", x1, y1, x2, y2,
            kind);
}

/* Opens the drawing with its axes: 0 and the most on the left, UTC days below. */
static void begin(const struct chart *c, const struct plan *p, const char *title)
{
    char number[24], day[TIME_TEXT_SIZE];

    fprintf(c->out, "<svg viewBox='0 0 %.0f %.0f' role='img'><title>%s</title>", c->width,
            c->height, title);
    text(c, LEFT, 13, "title", title);
    snprintf(number, sizeof(number), "%lld", (long long)c->most);
    text(c, LEFT - 4, y_of(c, c->most) + 4, "left", number);
    text(c, LEFT - 4, y_of(c, 0) + 4, "left", "0");
    line(c, LEFT, y_of(c, 0), x_of(c, (double)c->hours), y_of(c, 0), "axis");
    for (int64_t hour = 0; hour < c->hours; hour++) {
        int64_t at_s = p->starts_at_s + hour * HOUR_S;
        if (at_s % (24 * HOUR_S) != 0)
            continue;
        time_format(at_s * 1000, day);
        day[strlen("2015-05-17")] = '\0';
        line(c, x_of(c, (double)hour), TOP, x_of(c, (double)hour), y_of(c, 0), "day");
        if (hour + 12 < c->hours)
            text(c, x_of(c, (double)hour) + 3, c->height - 8, "below", day + strlen("2015-"));
    }
}

static void end(const struct chart *c)
{
    fputs("</svg>\n", c->out);
}

static void bar(const struct chart *c, int64_t hour, int64_t from, int64_t to, const char *kind)
{
    if (to > from)
        fprintf(c->out, "<rect x='%.1f' y='%.1f' width='%.1f' height='%.1f' class='%s'/>",
                x_of(c, (double)hour), y_of(c, to), x_of(c, 1) - x_of(c, 0) - 1,
                y_of(c, from) - y_of(c, to), kind);
}

static void draw_rate(const struct tally *t, const struct page_event *events, size_t events_count,
                      FILE *out)
{
    struct chart c = {
        .out = out, .width = 1080, .height = 260, .hours = (int64_t)t->hours, .most = 1};

    for (size_t i = 0; i < t->hours; i++)
        c.most = max_i64(c.most, t->granted_by_hour[i] + t->refused_by_hour[i]);
    begin(&c, t->plan, "Requests an hour, all caps: granted below, refused above");
    for (int64_t i = 0; i < c.hours; i++) {
        bar(&c, i, 0, t->granted_by_hour[i], "granted");
        bar(&c, i, t->granted_by_hour[i], t->granted_by_hour[i] + t->refused_by_hour[i], "refused");
    }
    for (size_t i = 0; i < events_count; i++) {
        double x = x_of(&c, (double)(events[i].at_s - t->plan->starts_at_s) / HOUR_S);
        line(&c, x, TOP, x, y_of(&c, 0), "event");
        text(&c, x + 3, TOP + 12 + 14 * (double)i, "event", events[i].what);
    }
    end(&c);
}

/* Does a window of the cap begin in this hour? */
static bool begins(const struct tally_cap *cap, int64_t at_s)
{
    for (size_t i = 0; i < cap->windows_count; i++)
        if (cap->windows[i].starts_at_ms == at_s * 1000)
            return true;
    return false;
}

/* What was spent of the window so far, which begins at 0 with each window. */
static void draw_cap(const struct tally *t, int i, FILE *out)
{
    const struct tally_cap *cap = &t->caps[i];
    const struct plan_cap *planned = &t->plan->caps[i];
    const struct chart c = {.out = out,
                            .width = 350,
                            .height = 150,
                            .hours = (int64_t)t->hours,
                            .most = planned->total};
    char title[160];
    int64_t spent = 0;

    snprintf(title, sizeof(title), "%.40s (%s)", plan_cap_id(t->plan, i), planned->time_zone);
    begin(&c, t->plan, title);
    line(&c, LEFT, y_of(&c, c.most), x_of(&c, (double)c.hours), y_of(&c, c.most), "total");
    fprintf(out, "<polyline class='spent' points='");
    for (int64_t hour = 0; hour < c.hours; hour++) {
        if (begins(cap, t->plan->starts_at_s + hour * HOUR_S))
            spent = 0;
        fprintf(out, "%.1f,%.1f ", x_of(&c, (double)hour), y_of(&c, spent));
        spent += cap->granted_by_hour[hour];
        fprintf(out, "%.1f,%.1f ", x_of(&c, (double)hour + 1), y_of(&c, spent));
    }
    fputs("'/>", out);
    end(&c);
}

static const char head[] =
    "<!doctype html><html lang='en'><meta charset='utf-8'><title>volumecap: the demo</title>\n"
    "<style>\n"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;"
    "color:#222}\n"
    "svg{display:block;width:100%}text{font-size:11px;fill:#555}.title{font-size:12px;fill:#222}\n"
    ".left{text-anchor:end}.axis{stroke:#888}.day{stroke:#ddd}.total{stroke:#c33;"
    "stroke-dasharray:4 3}\n"
    ".granted{fill:#3572b0}.refused{fill:#e9b872}line.event{stroke:#a3195b}text.event{fill:#a3195b;"
    "paint-order:stroke;stroke:#fff;"
    "stroke-width:4px}"
    "\n.spent{fill:none;stroke:#3572b0;stroke-width:1.5}\n"
    ".caps{display:grid;grid-template-columns:repeat(3,1fr);gap:1em}\n"
    "</style>\n<h1>Spending over time</h1>\n";

bool page_write(const struct tally *t, const struct page_event *events, size_t events_count,
                const char *path, struct err *e)
{
    FILE *out = fopen(path, "we");

    if (!out)
        return err_set(e, ERR_INTERNAL, "%s: %s", path, strerror(errno));
    fputs(head, out);
    fprintf(out,
            "<p>%lld requests asked %d caps: %lld granted, %lld refused. Days are "
            "in UTC, caps in time zones of their own.</p>\n",
            (long long)t->asked, t->plan->caps_count, (long long)t->granted, (long long)t->refused);
    draw_rate(t, events, events_count, out);
    fputs("<h2>The busiest caps: spent in the window so far, and the total (dashed)</h2>\n"
          "<div class='caps'>\n",
          out);
    for (int i = 0; i < CAPS && i < t->plan->caps_count; i++)
        draw_cap(t, i, out);
    fputs("</div></html>\n", out);
    if (fclose(out) != 0)
        return err_set(e, ERR_INTERNAL, "%s: %s", path, strerror(errno));
    return true;
}
