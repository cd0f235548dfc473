#include <criterion/criterion.h>

#include "common/domain/window.h"

/* Two windows that touch in the calendar at 100, as this server measured them. */
#define TOUCHING(old_closes, new_opens)                                                            \
    {                                                                                              \
        {.starts_at_ms = 0, .ends_at_ms = 100, .opens_ms = 1000, .closes_ms = (old_closes)},       \
        {                                                                                          \
            .starts_at_ms = 100, .ends_at_ms = 200, .opens_ms = (new_opens), .closes_ms = 3000     \
        }                                                                                          \
    }

static const struct {
    const char *name;
    struct window_bounds windows[2];
    int64_t now_ms;
    int expected;
} picks[] = {
    {"nothing has opened", TOUCHING(2000, 2000), 999, -1},
    {"a window holds its first moment", TOUCHING(2000, 2000), 1000, 0},
    {"and its last", TOUCHING(2000, 2000), 1999, 0},
    {"the next one takes over at once", TOUCHING(2000, 2000), 2000, 1},
    {"the end is outside", TOUCHING(2000, 2000), 3000, -1},
    {"a gap between measured bounds is bridged", TOUCHING(1990, 2010), 2005, 0},
    {"an overlap goes to the newer window", TOUCHING(2010, 1990), 2000, 1},
    {"windows that do not touch leave a gap",
     {{.starts_at_ms = 0, .ends_at_ms = 90, .opens_ms = 1000, .closes_ms = 1900},
      {.starts_at_ms = 100, .ends_at_ms = 200, .opens_ms = 2000, .closes_ms = 3000}},
     1950,
     -1},
};

Test(window, is_picked_by_the_servers_own_clock)
{
    for (size_t i = 0; i < sizeof(picks) / sizeof(picks[0]); i++)
        cr_expect(window_pick(picks[i].windows, 2, picks[i].now_ms) == picks[i].expected, "%s",
                  picks[i].name);
}

Test(window, order_in_the_table_does_not_matter)
{
    static const struct window_bounds swapped[] = {
        {.starts_at_ms = 100, .ends_at_ms = 200, .opens_ms = 2000, .closes_ms = 3000},
        {.starts_at_ms = 0, .ends_at_ms = 100, .opens_ms = 1000, .closes_ms = 1990},
    };
    cr_expect(window_pick(swapped, 2, 1995) == 1);
    cr_expect(window_pick(swapped, 2, 2500) == 0);
}

Test(window, none_is_none)
{
    cr_expect(window_pick(NULL, 0, 5) == -1);
}
