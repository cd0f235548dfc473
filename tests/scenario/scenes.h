#pragma once

/*
 * scenes: several data centres that trade, each a scene, with links in between
 * that can be cut; what scenarios across data centres are written with.
 *
 * The scenarios of one program share the data centres that SCENES_SUITE()
 * starts in the runner, and have a cap each.  Whoever disturbs the links, a
 * broker or a process has the suite for itself meanwhile (tests run one at a
 * time), and leaves it whole: scenes_end() heals what is still disturbed, and
 * fails the test unless all data centres agree again.
 */

#include "tests/harness/dcs.h"
#include "tests/scenario/scene.h"

struct scenes {
    struct dcs *dcs;
    const char *folder; /* for links.h */
    int count;
    struct scene *at[DCS_MAX];
};

/* In the runner: starts them, one server each, and quick to tell, unless said otherwise; exit()
 * stops them. */
void scenes_suite_start(const struct dcs_options *o);

#define SCENES_SUITE(...)                                                                          \
    ReportHook(PRE_ALL)(struct criterion_test_set * tests)                                         \
    {                                                                                              \
        (void)tests;                                                                               \
        scenes_suite_start(&(struct dcs_options){.links = true, __VA_ARGS__});                     \
    }                                                                                              \
    struct scenes_suite_takes_a_semicolon

struct scenes *scenes_join(void);
struct scenes *scenes_end(struct scenes *s);
CLEANUP_DEFINE(scenes, struct scenes, scenes_end)
#define auto_scenes CLEANUP(scenes)

/* Defines the cap at `home`, and waits until every server of all data centres knows the window. */
void cap_open_at(const struct scenes *s, int home, struct cap cap, const char *starts_at);

/* Sums over all data centres of a member of GET /pools/{cap}; -1: some has no such window. */
int64_t at_all_pools(const struct scenes *s, const char *cap, const char *starts_at,
                     const char *member);

/* Units of the window that were sent and have not arrived; -1: somebody has no such window. */
int64_t in_transit(const struct scenes *s, const char *cap, const char *starts_at);

/*
 * Its server spends of the window that begins then.  After a jump of the calendar it does so a
 * moment later than the window is open.
 */
bool serves(const struct scenes *s, int at, const char *cap, const char *starts_at);

/* All see all others, and nothing is in transit: what a healed network comes to. */
bool all_is_well(const struct scenes *s);

/* The audit over all data centres, by the program that operators use. */
bool joint_audit_is_clean(const struct scenes *s);
