#include "tests/scenario/scenes_cut.h"

#include <stdio.h>
#include <string.h>

#include "tests/harness/proc.h"

#define ASKS 5
#define LINE_SIZE 1024

int64_t share_at(const struct scenes *s, int at, const char *cap, const char *starts_at)
{
    const struct scene *dc = s->at[at];

    return at_pool(dc, cap, starts_at, "minted") - at_pool(dc, cap, starts_at, "burned") +
           at_pool(dc, cap, starts_at, "received") - at_pool(dc, cap, starts_at, "sent");
}

bool is_shared(const struct scenes *s, const char *cap, int64_t total, const char *starts_at)
{
    int64_t sum = 0;

    for (int i = 0; i < s->count; i++) {
        int64_t share = share_at(s, i, cap, starts_at);
        if (share < total / s->count / 2)
            return false;
        sum += share;
    }
    return sum == total && at_all_pools(s, cap, starts_at, "wanted") == 0;
}

void cap_shared(const struct scenes *s, int home, struct cap cap, const char *starts_at)
{
    cap_open_at(s, home, cap, starts_at);
    eventually(is_shared(s, cap.id, cap.total, starts_at));
}

bool is_out_of_reach(const struct scenes *s, int at, const char *cap)
{
    for (int i = 0; i < ASKS; i++) {
        enum verdict v = consume(s->at[at], 0, cap, 1).verdict;
        if (v != VERDICT_UNREACHABLE) {
            cr_log_warn("%s says %s", dcs_name(at), verdict_name(v));
            return false;
        }
    }
    return true;
}

void all_used_up(const struct scenes *s, const char *cap)
{
    for (int i = 0; i < s->count; i++)
        cr_expect_eq(take(s->at[i]->servers[0], cap, 1), VERDICT_USED_UP, "in %s", dcs_name(i));
}

void heal(const struct scenes *s, const char *cap, const char *starts_at)
{
    int64_t began_ms = clk_now_ms(), units = in_transit(s, cap, starts_at);

    links_heal(s->folder);
    eventually(in_transit(s, cap, starts_at) == 0);
    cr_log_info("%s: %" PRId64 " units in transit had arrived %" PRId64 " ms after the heal", cap,
                units, clk_now_ms() - began_ms);
}

int64_t remote_log_lines(const struct scenes *s, int at, const char *event, const char *peer)
{
    char path[256], line[LINE_SIZE];
    int64_t count = 0;

    snprintf(path, sizeof(path), "%s/remote.log", dc_folder(s->at[at]->dc));
    FILE *f = fopen(path, "re");
    if (!f)
        harness_fail("cannot read %s", path);
    while (fgets(line, sizeof(line), f))
        count += strstr(line, event) && strstr(line, peer);
    fclose(f);
    return count;
}

bool cap_text_is(const struct scenes *s, int at, const char *cap, const char *member,
                 const char *expected)
{
    char path[NAME_SIZE + 8];
    struct answer answer = {0};
    const struct call call = {.method = "GET", .path = path};
    struct err e;

    snprintf(path, sizeof(path), "/caps/%s", cap);
    if (!client_call(s->at[at]->meta, &call, &answer, &e) || answer.status != 200)
        return false;
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(answer.json, member);
    const char *text = cJSON_GetStringValue(item);
    return expected ? text && strcmp(text, expected) == 0 : cJSON_IsNull(item);
}
