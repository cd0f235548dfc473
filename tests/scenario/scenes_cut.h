#pragma once

/*
 * scenes_cut: what scenarios say of data centres that are cut apart: what each
 * has of a window, what cannot be reached, and how it all comes together again.
 */

#include "tests/scenario/scenes.h"

/* What a data centre has of the window: free, in slices and spent. */
int64_t share_at(const struct scenes *s, int at, const char *cap, const char *starts_at);

/* Each has about its part of the window, nothing is in transit, and nobody lacks anything. */
bool is_shared(const struct scenes *s, const char *cap, int64_t total, const char *starts_at);

/*
 * Defines the cap at `home`, and waits until all of that window is shared.  Shares are even but for
 * a few units: a server that asks before its data centre's share is there is served by others.
 */
void cap_shared(const struct scenes *s, int home, struct cap cap, const char *starts_at);

/* Several asks in a row for one unit; each must be answered 503: there may be units elsewhere. */
bool is_out_of_reach(const struct scenes *s, int at, const char *cap);

/* A server of each of them says 429, at last. */
void all_used_up(const struct scenes *s, const char *cap);

/* Heals the links, waits until nothing of the window is in transit, and logs how long that took. */
void heal(const struct scenes *s, const char *cap, const char *starts_at);

/* How many lines of its remote-svc's log have both texts. */
int64_t remote_log_lines(const struct scenes *s, int at, const char *event, const char *peer);

/* A text member of GET /caps/{id} of a data centre is that; NULL: is null. */
bool cap_text_is(const struct scenes *s, int at, const char *cap, const char *member,
                 const char *expected);
