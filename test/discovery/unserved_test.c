/* Discover sections that cannot be put in force: what they protect stays closed, and is said to be. */

#include <unistd.h>

#include "daemon/room.h"
#include "discovery/discover.h"

#define DISCOVER                                                                                             \
    "discover \"mesh\" { protect = { \"10.1.0.0/16 10.0.0.0/8\" } identity = g1.example.net psk = "          \
    "\"" ROOM_PSK "\" }\n"

static struct room room;

static json_t *status_of(const char *command)
{
    static char text[65536], request[128];
    int fd = room_connect(&room);
    snprintf(request, sizeof(request), "{\"v\":1,\"id\":1,\"command\":\"%s\"}\n", command);
    room_send(fd, request);
    text[0] = '\0';
    for (int turn = 0; strchr(text, '\n') == NULL; turn++) {
        assert_true(turn < 1000);
        room_turn(&room);
        room_read(fd, text, sizeof(text));
    }
    close(fd);
    json_t *m = json_loads(text, 0, NULL);
    assert_non_null(m);
    return m;
}

static unsigned wanted(enum dt_host_kind kind)
{
    struct dt_host_facts l = {.v = NULL};
    unsigned n = 0;
    assert_int_equal(discover_want(&room.d, &l), 0);
    for (size_t i = 0; i < l.n; i++)
        n += ((const struct dt_host_fact *)dt_host_facts_at(&l, &dt_host_sort, i))->kind == kind;
    dt_host_facts_free(&l);
    return n;
}

/* The room has no raw sockets: discovery cannot begin. */
static void what_is_not_served_stays_closed(void **state)
{
    room_begin(&room, 1, 1, "");
    assert_int_equal(wanted(DT_HOST_BARRIER), 0);
    room_write(&room, DISCOVER);
    json_decref(status_of("reload"));
    assert_int_equal(wanted(DT_HOST_BARRIER), 1);
    assert_int_equal(wanted(DT_HOST_STEER), 4);
    assert_int_equal(wanted(DT_HOST_PROBES), 0); /* nobody would answer them */
    json_t *m = status_of("status");
    const char *blocked = json_string_value(
        json_object_get(json_object_get(json_object_get(m, "result"), "discovery"), "blocked"));
    assert_non_null(blocked);
    assert_non_null(strstr(blocked, "there are no raw sockets here"));
    json_decref(m);
    json_decref(status_of("reload")); /* tried again */
    assert_int_equal(wanted(DT_HOST_BARRIER), 1);
    room_write(&room, "");
    json_decref(status_of("reload"));
    assert_int_equal(wanted(DT_HOST_BARRIER), 0);
    assert_null(discover_missing(&room.d));
    room_write(&room, DISCOVER);
    json_decref(status_of("reload"));
    room_end(&room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_not_served_stays_closed)};
    return TEST_RUN(tests);
}
