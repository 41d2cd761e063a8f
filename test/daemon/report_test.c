/* `dovetail status` with many tunnels: a bounded number of them in a turn of the loop, whatever happens between two turns. */
#include "daemon/room.h"

#include <unistd.h>

#define MANY 500
#define ROWS 48 /* of one turn, as report.c has it */

static char conf[256 * 1024], text[4 << 20];

/* Tunnels from..to - 1. */
static const char *some_tunnels(int from, int to)
{
    size_t n = 0;
    for (int i = from; i < to; i++)
        n += (size_t)snprintf(
            conf + n, sizeof(conf) - n,
            "tunnel \"t%d\" { gateway = 192.0.2.2 local = c%d@example.net remote = vpn.example.net "
            "psk = \"%s\" inside = 100.64.%d.%d protect = 10.64.%d.%d start = manual }\n",
            i, i, ROOM_PSK, i / 250, i % 250 + 1, i / 250, i % 250 + 1);
    assert_true(n < sizeof(conf));
    return conf;
}

static size_t tunnels_in(const char *from)
{
    size_t n = 0;
    for (; (from = strstr(from, "\"protect\":")) != NULL; from++)
        n++;
    return n;
}

/* The answer to one request, turn by turn; `between` is called once, after some. *most: the most tunnels of a turn. */
static json_t *answer(struct room *r, const char *request, void (*between)(struct room *r), size_t *most)
{
    int fd = room_connect(r);
    room_send(fd, request);
    text[0] = '\0';
    size_t seen = 0;
    *most = 0;
    for (int turn = 0; strchr(text, '\n') == NULL; turn++) {
        assert_true(turn < 100000);
        uv_run(&r->d.loop, UV_RUN_NOWAIT);
        size_t before = strlen(text);
        while (room_read(fd, text, sizeof(text)) > 0)
            ;
        size_t told = tunnels_in(text + (before > 12 ? before - 12 : 0));
        *most = told > *most ? told : *most;
        seen += told;
        if (between != NULL && seen > MANY / 3) {
            between(r);
            between = NULL;
        }
    }
    close(fd);
    json_t *m = json_loads(text, 0, NULL);
    assert_non_null(m);
    json_t *result = json_incref(json_object_get(m, "result"));
    json_decref(m);
    return result;
}

static const char whole[] = "{\"v\":1,\"id\":1,\"command\":\"status\"}\n";

static void a_turn_has_so_many_rows(void **state)
{
    static struct room r;
    size_t most;
    room_begin(&r, 1, 2, some_tunnels(0, MANY));
    json_t *s = answer(&r, whole, NULL, &most);
    assert_int_equal(json_array_size(json_object_get(s, "tunnels")), MANY);
    assert_non_null(json_object_get(s, "ike"));
    assert_true(most >= 2 && most <= ROWS + 1);
    json_decref(s);
    s = answer(&r, "{\"v\":1,\"id\":1,\"command\":\"status\",\"args\":{\"tunnels\":[\"t7\",\"t499\"]}}\n",
               NULL, &most);
    assert_int_equal(json_array_size(json_object_get(s, "tunnels")), 2);
    json_decref(s);
    room_end(&r);
}

static void reload(struct room *r)
{
    json_t *report = json_object();
    struct dt_err err = {0};
    assert_int_equal(daemon_reload(&r->d, report, NULL, &err), RELOAD_DONE);
    json_decref(report);
}

/* The first half, and with it whoever is told next, is taken out; others come. */
static void other_tunnels(struct room *r)
{
    room_write(r, some_tunnels(MANY / 2, MANY + 100));
    reload(r);
}

static void no_tunnels(struct room *r)
{
    room_write(r, "");
    reload(r);
}

static void tunnels_come_and_go_meanwhile(void **state)
{
    static struct room r;
    size_t most;
    room_begin(&r, 2, 2, some_tunnels(0, MANY));
    json_t *s = answer(&r, whole, other_tunnels, &most), *list = json_object_get(s, "tunnels"),
           *once = json_object();
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(list, i), "name"));
        assert_null(json_object_get(once, name)); /* nobody is told twice */
        json_object_set_new(once, name, json_true());
    }
    for (int i = MANY / 2; i < MANY + 100;
         i++) { /* and nobody is missing that was there all the while, or came */
        char name[16];
        snprintf(name, sizeof(name), "t%d", i);
        assert_non_null(json_object_get(once, name));
    }
    json_decref(once);
    json_decref(s);
    s = answer(&r, whole, no_tunnels, &most);
    assert_true(json_array_size(json_object_get(s, "tunnels")) < MANY);
    json_decref(s);
    room_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_has_so_many_rows),
        cmocka_unit_test(tunnels_come_and_go_meanwhile),
    };
    return TEST_RUN(tests);
}
