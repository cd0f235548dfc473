#pragma once

/*
 * sim: data centres that trade, and many servers, in one thread and no real time.
 *
 * Every message may be lost, repeated, late or out of order; servers are
 * killed between any two steps and come back on their ledger, or lose it with
 * their host.  The decisions are those of the services: common/domain.  A run
 * is a function of its seed alone.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/prng.h"
#include "common/domain/learn.h"
#include "common/domain/pool.h"
#include "common/domain/slice.h"
#include "common/domain/slot.h"
#include "common/domain/trade.h"

#define DCS_MAX 10
#define SERVERS_MAX (2 * DCS_MAX)
#define WINDOWS 3
#define INCARNATIONS 4
#define MESSAGES_MAX 16384

#define WINDOW_MS 20000
#define AHEAD_MS 8000 /* a window may be taken from so long before it opens */
#define SUSPECT_MS 2000
#define PRESUME_MS 5000
#define CALL_MS 400 /* a server waits so long for an answer */
#define REPORT_MS 1000
#define RESEND_MS 1000
#define LEARN_MS 1500
#define UNECHOED_MS 2000    /* then little more is put on its way to who does not answer */
#define REACH_MS 4000       /* who could hear the home for so long has its share */
#define SHORT_MS 2000       /* after a wish that was not met, units are given to one at a time */
#define ROUND_TRIP_MS 36    /* without faults, at most: two ways of 10 ms, two steps of 8 ms */
#define ROWS_PER_SECOND 200 /* at most, from one DC to another about one window */
#define ROWS_IN_CALM 20     /* the same, while nobody asks for anything */
#define CONSUME_WAIT_MS 100

/* clang-format off */
/* Rules broken on purpose, to see that the simulator notices. */
#define BREAKS(X)                                                                              \
    X(BREAK_NOTHING,       "nothing")                                                          \
    X(BREAK_IDEMPOTENCY,   "idempotency")   /* an answer means "so many more" */                \
    X(BREAK_LEDGER_ORDER,  "ledger-order")  /* yes first, then the ledger */                    \
    X(BREAK_RETURN_ORDER,  "return-order")  /* the report of a return first, then the ledger */ \
    X(BREAK_RETURN_INTENT, "return-intent") /* recovery forgets a return that was noted */      \
    X(BREAK_RECLAIM,       "reclaim")       /* a silent server's units are given to others */   \
    X(BREAK_CREDIT,        "credit")        /* a row from another DC means "so many more" */    \
    X(BREAK_UNDO_SEND,     "undo-send")     /* what is not echoed in time is taken back */       \
    X(BREAK_DOUBLE_GIFT,   "double-gift")   /* who asks again is sent again what is under way */ \
    X(BREAK_NO_BOUND,      "no-bound")      /* who does not answer is sent more and more */      \
    X(BREAK_NO_RESEND,     "no-resend")     /* what is in transit is not said again */           \
    X(BREAK_MINT_LATE,     "mint-late")     /* shares are sent when the window opens */          \
    X(BREAK_ECHO_CHAMBER,  "echo-chamber")  /* who asks in vain is always answered at once */    \
    X(BREAK_LATE_GIFT,     "late-gift")     /* a window that is over goes on giving */           \
    X(BREAK_LATE_ASK,      "late-ask")      /* who is short asks only now and then */          \
    X(BREAK_GRANT_PARTS,   "grant-parts")   /* units are granted that are too few for who waits */ \
    X(BREAK_HOLD,          "hold")          /* who waits hands nothing back */ \
    X(BREAK_NO_TURNS,      "no-turns")      /* data centres do the same */                      \
    X(BREAK_FORGET,        "forget")        /* a database that went back is believed */        \
    X(BREAK_HASTE,         "haste")         /* ... or until the first servers have spoken */   \
    X(BREAK_NO_FENCE,      "no-fence")      /* what was said before it went back still counts */
/* clang-format on */

enum breakage {
#define X(kind, name) kind,
    BREAKS(X)
#undef X
};

enum message_kind { MESSAGE_TOPUP, MESSAGE_ANSWER, MESSAGE_NEWS, MESSAGE_ROW, MESSAGE_TOTAL };

/* A topup or its answer covers all windows at once; news, rows and totals are of one. */
struct message {
    enum message_kind kind;
    int64_t deliver_at_ms;
    int from, to; /* data centres: of a row, of a total */
    struct trade_row row;
    int64_t more; /* what a row would say if it told differences: for a broken rule */
    int64_t total, total_version;
    int server, incarnation;
    int64_t call;
    int window;
    bool recall;
    /* The data centre's: of an answer; of a topup, the one in which its server has told all. */
    int64_t dc_incarnation;
    bool covers[WINDOWS];
    struct pool_report reports[WINDOWS];
    struct pool_answer answers[WINDOWS];
};

/* A consumer whose units the slice does not cover, waiting for a topup. */
struct waiting {
    int64_t n; /* 0: nobody */
    int64_t until_ms;
};

struct server {
    bool alive;
    int dc;
    int incarnation;
    int64_t down_until_ms;
    /* Of its data centre, the highest heard, and the one in which it has told all it holds. Answers
     * of an earlier one are not taken, nor can they reach a process that is started anew. */
    int64_t heard_incarnation, told_incarnation;
    /* What a process forgets when it dies: */
    struct slice slices[WINDOWS];
    struct rate rates[WINDOWS];
    int64_t asked[WINDOWS];
    struct waiting waiting[WINDOWS];
    bool report_soon[WINDOWS];
    bool told[WINDOWS];          /* by the call in flight */
    bool had_news[WINDOWS];      /* since then: its answer may be older */
    int64_t call, call_until_ms; /* in flight; 0: none */
    int64_t reported_at_ms;
    int return_window, return_step; /* a return under way; step 0: none */
    int64_t return_units;
};

/* One window in one data centre. */
struct dc_window {
    struct pool pool;
    struct pool_slice slices[SERVERS_MAX][INCARNATIONS];
    struct trade_peer peers[DCS_MAX];
    struct trade_ask asked[DCS_MAX]; /* what the last row to each peer asked for */
    int64_t told_ms[DCS_MAX];
    int64_t told_sent[DCS_MAX];
    int64_t versions[DCS_MAX]; /* of our rows */
    int64_t total_version;
    bool minted; /* at home; elsewhere the total is known, and the share may be on its way */
    /* For the checks, kept apart from what decides: */
    bool was_in_doubt;
    struct trade_row heard[DCS_MAX]; /* the newest row of each peer, as it was sent */
    int64_t moved_ms[DCS_MAX];       /* when an echo, or the first unechoed units, moved last */
    int64_t rows_told[DCS_MAX], rows_second[DCS_MAX];
    int64_t dry_ms, received_when_dry; /* somebody lacks units that another could give; 0: no */
    bool is_over;
    int64_t granted_when_over, sent_when_over;
};

struct dc {
    struct dc_window windows[WINDOWS];
    int64_t seen_ms[SERVERS_MAX][INCARNATIONS];  /* 0: not known */
    int64_t heard_in[SERVERS_MAX][INCARNATIONS]; /* the incarnation in which it told all it holds */
    int64_t incarnation, doubt_since_ms;
};

struct world {
    uint64_t seed;
    struct prng prng;
    enum breakage breakage;
    bool faults;       /* off in the last part of a run, when all must heal */
    bool strict;       /* no refunds, no lost hosts, no changed totals: refusals are exact */
    int64_t last_wish; /* what a consumer asks for in the end, at least */
    bool is_patient;   /* ... and waits until it gets it */
    int64_t now_ms;
    int64_t calls;

    int dcs_count, home;
    struct dc dcs[DCS_MAX];
    struct dc backups[DCS_MAX];              /* what a database may go back to */
    int64_t backed_up_ms[DCS_MAX];           /* 0: never */
    bool forgets;                            /* databases go back in this run */
    bool forgot_together;                    /* one did while another had yet to learn */
    int64_t incarnations;                    /* the highest of all data centres */
    int64_t forgot, trusted;                 /* windows that were in doubt, and are not any more */
    int64_t totals[WINDOWS];                 /* to be minted */
    int64_t cut_until_ms[DCS_MAX][DCS_MAX];  /* from, to */
    int64_t flap_until_ms[DCS_MAX][DCS_MAX]; /* the same, on and off */
    int64_t reach_ms[DCS_MAX][WINDOWS];      /* how long it could hear the home without a break */
    bool reached[DCS_MAX][WINDOWS];          /* ... between mint and opening, REACH_MS at least */
    bool was_presumed[WINDOWS];              /* then refusals of that window are not exact */

    int servers_count;
    struct server servers[SERVERS_MAX];
    /* The ledgers: what survives a process.  Those of lost hosts stay here as the truth. */
    struct slot slots[SERVERS_MAX][INCARNATIONS][WINDOWS];

    /* What clients were told. */
    int64_t yes[WINDOWS];
    int64_t refused_used_up, refused_unreachable;
    int64_t traded;
    bool is_calm;          /* nothing fails, and nobody asks for anything */
    int64_t gifts_in_calm; /* how often units were given then */

    struct message messages[MESSAGES_MAX];
    size_t messages_count;
};

/* Prints what is wrong, the seed and the time, and ends the program (exit 1). */
#define SIM_CHECK(w, expression)                                                                   \
    ((expression) ? (void)0 : sim_failed(w, #expression, __FILE__, __LINE__))
_Noreturn void sim_failed(const struct world *w, const char *expression, const char *file,
                          int line);

bool chance(struct world *w, int64_t percent);
int64_t mint_ms(int window);
int window_at(int64_t now_ms); /* the index of the open window, or -1 after the last */

/* net.c: may lose, repeat and delay. */
void net_send(struct world *w, const struct message *m);
void net_deliver(struct world *w);
bool net_is_cut(const struct world *w, int from, int to);
void net_wipe(struct world *w, int dc); /* what its broker holds for it is gone */

/* dc.c */
void dc_start(struct world *w);
void dc_tick(struct world *w, int dc);
void dc_topup(struct world *w, const struct message *request);
void dc_retarget(struct world *w, int window, int64_t requested); /* at home */
void dc_learn_total(struct world *w, const struct message *m);    /* elsewhere */
void dc_pause(struct world *w, int window, bool paused);
void dc_back_up(struct world *w, int dc);
void dc_go_back(struct world *w, int dc); /* its database is restored */
void dc_tell_all(struct world *w, int dc, int window, bool recall);

/* trade.c */
void trade_row_arrives(struct world *w, const struct message *m);
void trade_tick(struct world *w, int dc);
void trade_units(struct world *w, int dc, int peer, int window, int64_t n);
void trade_send_home(struct world *w, int dc, int window);  /* what is above its share */
void trade_left_short(struct world *w, int dc, int window); /* gives them what came free */
struct trade_context trade_time(const struct world *w, int dc, int window);
bool dc_servers_have_spoken(const struct world *w, int dc);
bool is_in_doubt(const struct world *w, int window); /* anywhere */

/* server.c */
void server_start(struct world *w, int i);
void server_tick(struct world *w, int i);
void server_kill(struct world *w, int i, int64_t for_ms);
void server_lose_host(struct world *w, int i);
void server_answer(struct world *w, const struct message *answer);
void server_news(struct world *w, const struct message *news);
void server_consume(struct world *w, int i, int64_t n, enum consume_mode mode);
void server_refund(struct world *w, int i, int64_t n);

/* check.c */
int64_t truly_spent(const struct world *w, int window);
void check_world(const struct world *w);
void check_used_up(const struct world *w, int window, int64_t n); /* a refusal just given */
void check_healed(const struct world *w, int window);
void check_opening(const struct world *w, int dc, int window); /* its share is there */
void check_flow(struct world *w, int window); /* to who is dry, within three round trips */
void check_gift(struct world *w, int dc, int peer, int window, int64_t given);
