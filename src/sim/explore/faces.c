/* The bounds of the search, and the mistakes that it must find. */
#include <stddef.h>
#include <string.h>

#include "sim/explore/explore.h"

/* ---- faces: no bound that a computer gets through holds everything, so several look at one thing each ---------- */

#define UP_A(n)    [SIM_ENV_UP_A] = n
#define DOWN_A(n)  [SIM_ENV_DOWN_A] = n
#define UP_B(n)    [SIM_ENV_UP_B] = n
#define DOWN_B(n)  [SIM_ENV_DOWN_B] = n
#define REKEY_A(n) [SIM_ENV_REKEY_A] = n
#define REKEY_B(n) [SIM_ENV_REKEY_B] = n
#define CRASH(n)   [SIM_ENV_CRASH] = n
#define RESTART(n) [SIM_ENV_RESTART] = n
#define SERVER(n)  [SIM_ENV_SERVER_REKEYS_A] = n
#define SESSION(n) [SIM_ENV_REKEY_SESSION_A] = n
#define CUT(n)     [SIM_ENV_CUT] = n
#define NO_ESP(n)  [SIM_ENV_NO_ESP] = n

static const struct face {
    const char *name, *what;
    const char *pairing;
    enum sim_begin begin;
    bool mute;
    uint8_t crowd;
    struct sim_budget budget;
    const char *set[6][2]; /* parameters that differ from the published ones */
} faces[] = {
#define FACE(name, pairing, begin, mute, crowd, text, bound, ...)                                            \
    {                                                                                                        \
        name, text, pairing, begin, mute, crowd, bound,                                                      \
        {                                                                                                    \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }
#define BOUND(...)                                                                                           \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }
    FACE("rekeys", "both", SIM_BEGIN_UP, false, 0, "both clients rekey at once, data both ways, a loss",
         BOUND(.lose = 1, .tick = 1, .env = {UP_A(1), DOWN_A(1), DOWN_B(1), REKEY_A(1), REKEY_B(1)}), {0}),
    FACE("doubles", "both", SIM_BEGIN_UP, false, 0, "both clients rekey at once, a loss and a duplicate",
         BOUND(.lose = 1, .duplicate = 1, .tick = 1, .env = {UP_A(1), DOWN_B(1), REKEY_A(1), REKEY_B(1)}),
         {0}),
    FACE("delays", "both", SIM_BEGIN_UP, false, 2, "both clients rekey at once, packets late for timers",
         BOUND(.late = 1, .tick = 1, .env = {DOWN_B(1), REKEY_A(1), REKEY_B(1)}), {0}),
    FACE("losses", "both", SIM_BEGIN_UP, false, 1, "one client rekeys, two losses and a duplicate",
         BOUND(.lose = 2, .duplicate = 1, .tick = 2, .env = {UP_A(1), DOWN_A(1), REKEY_A(1)}), {0}),
    FACE("late", "both", SIM_BEGIN_UP, false, 1, "one client rekeys, a loss, and packets late for timers",
         BOUND(.lose = 1, .late = 1, .tick = 2, .env = {UP_A(1), DOWN_A(1), REKEY_A(1)}), {0}),
    FACE("crash", "both", SIM_BEGIN_UP, false, 1, "the NAT forgets everything while a client rekeys, a loss",
         BOUND(.lose = 1, .tick = 3, .env = {UP_A(1), DOWN_B(1), REKEY_A(1), CRASH(1)}), {0}),
    FACE("crash-both", "both", SIM_BEGIN_UP, false, 1, "the NAT forgets everything while both clients rekey",
         BOUND(.tick = 2, .env = {UP_A(1), DOWN_B(1), REKEY_A(1), REKEY_B(1), CRASH(1)}), {0}),
    FACE("restart", "both", SIM_BEGIN_UP, false, 2,
         "the server forgets everything while a client rekeys, a loss",
         BOUND(.lose = 1, .tick = 4, .env = {UP_A(1), DOWN_B(1), REKEY_A(1), RESTART(1)}), {0}),
    FACE("mute", "both", SIM_BEGIN_UP, true, 2, "the same, and the server answers no stranger",
         BOUND(.lose = 1, .tick = 4, .env = {UP_A(1), REKEY_A(1), RESTART(1)}), {0}),
    FACE("cut", "both", SIM_BEGIN_UP, false, 1, "nothing gets through for a while, while a client rekeys",
         BOUND(.tick = 10, .env = {UP_A(1), REKEY_A(1), CUT(1)}), {0}),
    FACE("life", "both", SIM_BEGIN_UP, false, 1, "nothing gets through while an epoch of 43 s ends",
         BOUND(.tick = 10, .env = {UP_A(1), REKEY_A(1), CUT(1)}), {"keylife", "43"}, {"rekeymargin", "21"},
         {"timeout", "4"}, {"pingtries", "9"}, {"elimit", "1"}),
    FACE("accept", "both-accept", SIM_BEGIN_UP, false, 0,
         "server and client rekey the same tunnel at once, a loss",
         BOUND(.lose = 1, .tick = 1, .env = {UP_A(1), DOWN_A(1), REKEY_A(1), SERVER(1)}), {0}),
    FACE("narrow", "both-narrow", SIM_BEGIN_UP, false, 1,
         "one client of tunnels of one port rekeys, the server forgets everything, a loss",
         BOUND(.lose = 1, .tick = 3, .env = {UP_A(1), REKEY_A(1), RESTART(1)}), {0}),
    FACE("session", "both", SIM_BEGIN_UP, false, 0, "a client rekeys its IKE session and its tunnel at once",
         BOUND(.lose = 1, .late = 1, .tick = 1, .env = {REKEY_A(1), SESSION(1)}), {0}),
    FACE("news", "both", SIM_BEGIN_UP, false, 1,
         "one client rekeys, what the data path tells is late or lost",
         BOUND(.behind = 2, .untold = 2, .late = 1, .tick = 2, .env = {UP_A(1), DOWN_A(1), REKEY_A(1)}), {0}),
    FACE("cold", "both", SIM_BEGIN_COLD, false, 0, "both clients begin at once",
         BOUND(.lose = 1, .late = 1, .tick = 1), {0}),
    FACE("alike", "both", SIM_BEGIN_ALIKE, false, 0, "both begin, with the same cookie and the same SPI",
         BOUND(.lose = 1, .late = 1, .tick = 1), {0}),
    FACE("auto", "both", SIM_BEGIN_ONE, false, 0,
         "a client begins, and its ESP may be blocked: ESP and UDP race",
         BOUND(.lose = 1, .late = 1, .tick = 3, .env = {UP_A(1), NO_ESP(1)}), {0}),
#undef FACE
#undef BOUND
};
#define FACES (sizeof faces / sizeof *faces)

struct sim_budget sim_budget_wide(void)
{
    struct sim_budget b;
    memset(&b, 255, sizeof b);
    return b;
}

struct sim_explore_config sim_explore_default(void)
{
    return (struct sim_explore_config){
        .seed = 1,
        .pairing = sim_pairing_by_name("both"),
        .params = sim_params_default(),
        .encap = DT_ENCAP_ESP,
        .budget = {.lose = 1, .late = 1, .tick = 1, .env = {UP_A(1), DOWN_B(1), REKEY_A(1), CRASH(1)}},
        .depth = SIM_TRACE_MAX,
        .jobs = 1,
        .states_max = 32000000,
    };
}

bool sim_explore_face(struct sim_explore_config *cfg, int i)
{
    struct dt_err err;
    if (i < 0 || (size_t)i >= FACES)
        return false;
    const struct face *f = &faces[i];
    cfg->face = f->name;
    cfg->what = f->what;
    cfg->pairing = sim_pairing_by_name(f->pairing);
    cfg->begin = f->begin;
    cfg->encap = f->begin == SIM_BEGIN_ONE ? DT_ENCAP_AUTO : DT_ENCAP_ESP;
    cfg->budget = f->budget;
    cfg->crowd = f->crowd;
    cfg->mute = f->mute;
    for (int k = 0; k < 6 && f->set[k][0]; k++)
        sim_params_set(&cfg->params, f->set[k][0], f->set[k][1], &err);
    return true;
}

/* ---- mistakes -------------------------------------------------------------------------------- */

enum owner { CLIENT_OR_SERVER, NAT, DATA_PATH };

/* Each with a bound in which it shows: the shortest way there is what is looked for, level by level. */
static const struct plant {
    const char *name, *what;
    enum owner owner;
    size_t offset;
    enum sim_begin begin;
    struct sim_budget budget;
    bool mute;
} plants[] = {
#define BOUND(...)                                                                                           \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }
#define EPOCH(field, text, begin, mute, bound)                                                               \
    {                                                                                                        \
#field, text, CLIENT_OR_SERVER, offsetof(struct dt_epoch_faults, field), begin, bound, mute          \
    }
#define MASQ(field, text, begin, bound)                                                                      \
    {                                                                                                        \
#field, text, NAT, offsetof(struct dt_masq_faults, field), begin, bound, false                       \
    }
    EPOCH(switch_at_once, "the client sends data on a new epoch before it is verified", SIM_BEGIN_UP, false,
          BOUND(.env = {UP_A(1), REKEY_A(1)})),
    EPOCH(server_switch_at_once, "the server sends data on a new epoch before it is heard", SIM_BEGIN_UP,
          false, BOUND(.env = {DOWN_A(1), REKEY_A(1)})),
    EPOCH(verify_on_any, "the answer to a ping on the old epoch verifies the new one", SIM_BEGIN_UP, false,
          BOUND(.late = 1, .tick = 1, .env = {UP_A(1), REKEY_A(1)})),
    EPOCH(delete_unproved, "the old epoch is deleted as soon as the new one is negotiated", SIM_BEGIN_UP,
          false, BOUND(.late = 1, .env = {UP_A(1), REKEY_A(1)})),
    EPOCH(one_probe, "a new epoch is probed once, not again every pingtime", SIM_BEGIN_COLD, false,
          BOUND(.lose = 1, .tick = 1, .env = {UP_A(1), REKEY_A(1)})),
    EPOCH(probe_forever, "pingtries is ignored: no new epoch follows", SIM_BEGIN_UP, false,
          BOUND(.lose = 1, .late = 1, .tick = 1, .env = {DOWN_A(1), REKEY_A(1), CRASH(1), RESTART(1)})),
    EPOCH(no_timeout, "a negotiation is never abandoned", SIM_BEGIN_UP, true,
          BOUND(.late = 1, .tick = 1, .env = {REKEY_A(1), RESTART(1)})),
    EPOCH(no_elimit, "a session is never dropped, however often it fails", SIM_BEGIN_UP, true,
          BOUND(.late = 1, .tick = 1, .env = {REKEY_A(1), RESTART(1)})),
    EPOCH(no_idle_ping, "maxidle passes and the client sends nothing", SIM_BEGIN_UP, false,
          BOUND(.tick = 1, .env = {UP_A(1), CRASH(1)})),
    EPOCH(idle_ends_nothing, "pingtries2 pings are not answered, and no new epoch follows", SIM_BEGIN_UP,
          false, BOUND(.lose = 1, .tick = 1, .env = {DOWN_B(1), CRASH(1), RESTART(1)})),
    MASQ(convert_waiting, "the NAT gives a new SPI to the client that was made to wait", SIM_BEGIN_COLD,
         BOUND(.env = {REKEY_A(1), REKEY_B(1)})),
    MASQ(two_outstanding, "a client's new SPI takes the place of another client's outstanding item",
         SIM_BEGIN_COLD, BOUND(.env = {REKEY_A(1), REKEY_B(1)})),
    MASQ(keep_outstanding, "the NAT never looks at t_out", SIM_BEGIN_UP,
         BOUND(.lose = 1, .tick = 1, .env = {UP_A(1), DOWN_B(1), REKEY_A(1), CRASH(1), RESTART(1)})),
    MASQ(ignore_server, "the NAT does not serialise equal cookies", SIM_BEGIN_ALIKE, BOUND(.late = 1)),
    {"first_told_once",
     "the first packet on an SA is not told again when the ring of events was full",
     DATA_PATH,
     offsetof(struct sim_host_faults, first_told_once),
     SIM_BEGIN_UP,
     {.untold = 1, .tick = 1, .env = {DOWN_A(1), REKEY_A(1)}},
     false},
};
#define PLANTS (sizeof plants / sizeof *plants)

const char *sim_explore_plant_name(int i, const char **what)
{
    if (i < 0 || (size_t)i >= PLANTS)
        return NULL;
    if (what)
        *what = plants[i].what;
    return plants[i].name;
}

bool sim_explore_plant(struct sim_explore_config *cfg, const char *name)
{
    for (size_t i = 0; i < PLANTS; i++) {
        if (strcmp(plants[i].name, name))
            continue;
        char *faults = plants[i].owner == NAT         ? (char *)&cfg->masq_faults
                       : plants[i].owner == DATA_PATH ? (char *)&cfg->host_faults
                                                      : (char *)&cfg->params.epoch.faults;
        *(bool *)(faults + plants[i].offset) = true;
        cfg->plant = plants[i].name;
        cfg->what = plants[i].what;
        cfg->shallow_first = true;
        cfg->states_max = 2000000;
        cfg->budget = plants[i].budget;
        cfg->begin = plants[i].begin;
        cfg->mute = plants[i].mute;
        return true;
    }
    return false;
}
