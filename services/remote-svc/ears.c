#include "services/remote-svc/ears.h"

#include "common/base/check.h"
#include "common/base/num.h"

void ears_init(struct ears *ears)
{
    *ears = (struct ears){.run = EARS_UNKNOWN, .last_seq = EARS_UNKNOWN, .rows_done = EARS_UNKNOWN};
}

static uint64_t bit_of(int64_t seq)
{
    return UINT64_C(1) << seq % 64;
}

static uint64_t *word_of(struct ears *ears, int64_t seq)
{
    return &ears->seen[seq % EARS_SEEN_MAX / 64];
}

/* None of those that were passed over has come yet. */
static void go_on_to(struct ears *ears, int64_t seq)
{
    const int64_t first = max_i64(ears->last_seq + 1, seq - EARS_SEEN_MAX + 1);

    for (int64_t i = max_i64(first, 0); i <= seq; i++)
        *word_of(ears, i) &= ~bit_of(i);
    ears->missed += ears->last_seq == EARS_UNKNOWN ? 0 : seq - ears->last_seq - 1;
    ears->last_seq = seq;
}

enum ears_verdict ears_hear(struct ears *ears, int64_t run, int64_t seq)
{
    CHECK(run >= 0 && seq >= 0);
    if (run < ears->run)
        return EARS_REPLAYED;
    if (run > ears->run) {
        ears_init(ears);
        ears->run = run;
    }
    enum ears_verdict verdict = seq > ears->last_seq ? EARS_NEWS : EARS_LATE;
    if (verdict == EARS_NEWS)
        go_on_to(ears, seq);
    else if (ears->last_seq - seq >= EARS_SEEN_MAX || (*word_of(ears, seq) & bit_of(seq)))
        return EARS_REPLAYED;
    *word_of(ears, seq) |= bit_of(seq);
    return verdict;
}
