/* The bounds of the search, and the mistakes that it must find. */
#include <stddef.h>
#include <string.h>

#include "sim/explore.h"

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

static const struct face {
    const char *name, *what;
    const char *pairing;
    enum sim_begin begin;
    struct sim_budget budget;
    const char *set[4][2]; /* parameters that differ from the published ones */
} faces[] = {
    {"rekeys",
     "both clients rekey at once, data both ways",
     "both",
     SIM_BEGIN_UP,
     {.lose = 1, .late = 1, .tick = 1, .env = {UP_A(1), DOWN_A(1), DOWN_B(1), REKEY_A(1), REKEY_B(1)}},
     {{0}}},
    {"doubles",
     "both rekey, one dup",
     "both",
     SIM_BEGIN_UP,
     {.duplicate = 1, .tick = 1, .env = {DOWN_B(1), REKEY_A(1), REKEY_B(1)}},
     {{0}}},
    {"losses",
     "one client rekeys, packets are lost and doubled",
     "both",
     SIM_BEGIN_UP,
     {.lose = 2, .duplicate = 1, .late = 1, .tick = 2, .env = {UP_A(1), DOWN_A(1), DOWN_B(1), REKEY_A(1)}},
     {{0}}},
    {"crash",
     "the NAT forgets everything at any moment",
     "both",
     SIM_BEGIN_UP,
     {.lose = 1, .late = 1, .tick = 2, .env = {UP_A(1), DOWN_B(1), REKEY_A(1), CRASH(1)}},
     {{0}}},
    {"restart",
     "the server forgets everything",
     "both",
     SIM_BEGIN_UP,
     {.lose = 1, .late = 1, .tick = 4, .env = {UP_A(1), DOWN_B(1), REKEY_A(1), RESTART(1)}},
     {{0}}},
    {"cut",
     "nothing gets through for a while",
     "both",
     SIM_BEGIN_UP,
     {.lose = 0, .late = 1, .tick = 20, .env = {UP_A(1), DOWN_B(1), REKEY_A(1), CUT(1)}},
     {{0}}},
    {"accept",
     "server and client rekey the same tunnel at once",
     "both-accept",
     SIM_BEGIN_UP,
     {.lose = 1, .late = 1, .tick = 1, .env = {UP_A(1), DOWN_A(1), REKEY_A(1), SERVER(1)}},
     {{0}}},
    {"session",
     "IKE SA rekeyed",
     "both",
     SIM_BEGIN_UP,
     {.lose = 1, .late = 1, .tick = 1, .env = {REKEY_A(1), SESSION(1)}},
     {{0}}},
    {"cold",
     "both clients begin",
     "both",
     SIM_BEGIN_COLD,
     {.lose = 1, .late = 1, .tick = 1, .env = {DOWN_A(0)}},
     {{0}}},
    {"alike",
     "both clients begin with the same cookie and SPI",
     "both",
     SIM_BEGIN_ALIKE,
     {.lose = 1, .late = 1, .tick = 1, .env = {DOWN_A(0)}},
     {{0}}},
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
        .budget = {.lose = 1, .late = 1, .tick = 1, .env = {UP_A(1), DOWN_B(1), REKEY_A(1), CRASH(1)}},
        .depth = 100,
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
    cfg->budget = f->budget;
    for (int k = 0; k < 4 && f->set[k][0]; k++)
        sim_params_set(&cfg->params, f->set[k][0], f->set[k][1], &err);
    return true;
}

/* ---- mistakes -------------------------------------------------------------------------------- */

enum owner { CLIENT_OR_SERVER, NAT };

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
        char *faults = plants[i].owner == NAT ? (char *)&cfg->masq_faults : (char *)&cfg->params.epoch.faults;
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
