/* Whatever is in a name: the answers and events that tell of it arrive, and are text. JSON takes nothing but UTF-8, and names
 * are cut where there is no room for them. */

#include <fcntl.h>
#include <unistd.h>

#include "base/utf8.h"
#include "daemon/room.h"
#include "discovery/discover.h"

#define U10                                                                                                  \
    "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc" /* of two octets each */
#define ODD "x" U10 /* cut at any even number of octets, it is cut inside a character */

enum { DAEMON, PEER, HOSTS = 3 };

#define TUNNEL(name, more)                                                                                   \
    "tunnel \"" name "\" { gateway = \"192.0.2.2\" local = \"anna@example.net\" remote = "                   \
    "\"vpn.example.net\" psk = \"" ROOM_PSK "\" protect = \"10.1.0.0/16\" start = manual " more " }\n"

static struct room room;
static char buf[1 << 18];

/* The lines that came; each is JSON, or the test fails. */
static json_t *lines(int fd)
{
    json_t *list = json_array();
    buf[0] = '\0';
    while (room_read(fd, buf, sizeof(buf)) > 0)
        ;
    for (char *at = buf, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        *end = '\0';
        json_t *o = json_loads(at, 0, NULL);
        if (o == NULL)
            fail_msg("no JSON: %s", at);
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *request(const char *command, json_t *args)
{
    json_t *o = json_pack("{s:i, s:i, s:s, s:o}", "v", 1, "id", 1, "command", command, "args", args);
    char *text = json_dumps(o, JSON_COMPACT);
    int fd = room_connect(&room);
    room_send(fd, text);
    room_send(fd, "\n");
    for (int i = 0; i < 20; i++)
        room_turn(&room);
    free(text);
    json_decref(o);
    json_t *list = lines(fd), *answer = json_incref(json_array_get(list, 0));
    assert_int_equal(json_array_size(list), 1);
    json_decref(list);
    close(fd);
    return answer;
}

static json_t *result(const char *command)
{
    json_t *a = request(command, json_object()), *r = json_incref(json_object_get(a, "result"));
    assert_true(json_is_true(json_object_get(a, "ok")) && json_is_object(r));
    json_decref(a);
    return r;
}

static const char *str(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    if (text == NULL)
        fail_msg("there is no %s", key);
    return text;
}

static const json_t *first(const json_t *o, const char *list)
{
    const json_t *x = json_array_get(json_object_get(o, list), 0);
    if (x == NULL)
        fail_msg("%s is empty", list);
    return x;
}

static int monitor(void)
{
    int fd = room_connect(&room);
    room_send(fd, "{\"v\":1,\"id\":1,\"command\":\"monitor\"}\n");
    room_turn(&room);
    return fd;
}

/* Events of a tunnel of that name came, each with a text of its own. */
static void events_of(int fd, const char *tunnel)
{
    json_t *list = lines(fd), *line;
    size_t i, n = 0;
    json_array_foreach(list, i, line)
    {
        const json_t *ev = json_object_get(line, "event");
        assert_string_not_equal(str(ev, "text"), "(not text)");
        n += strcmp(str(ev, "tunnel"), tunnel) == 0;
    }
    assert_true(n > 0);
    json_decref(list);
    close(fd);
}

static void a_name_that_nobody_has(void **state)
{
    room_begin(&room, 1, HOSTS, TUNNEL("office", ""));
    json_t *a = request("up", json_pack("{s:[s]}", "tunnels", ODD U10 U10 U10));
    assert_non_null(strstr(str(a, "error"), "\"" ODD U10 U10 "\xc3\xbc\"; "));
    json_decref(a);
    a = request(ODD U10 U10, json_object());
    assert_non_null(strstr(str(a, "error"), "\"" ODD "\xc3\xbc"));
    json_decref(a);
    room_end(&room);
}

static void a_value_that_is_wrong(void **state)
{
    room_begin(&room, 2, HOSTS, TUNNEL("office", ""));
    room_write(&room, TUNNEL("office", "encap = \"" ODD U10 U10 "\" probe = \"" ODD U10 U10 U10 "\""));
    json_t *a = request("reload", json_object()), *issue;
    size_t i, wrong = 0;
    json_array_foreach(json_object_get(json_object_get(a, "detail"), "issues"), i, issue) wrong +=
        strstr(json_string_value(issue), "\"" ODD) != NULL;
    assert_int_equal(wrong, 2); /* none was left out */
    assert_non_null(strstr(str(a, "error"), ODD));
    json_decref(a);
    room_end(&room);
}

/* The name of a tunnel that was found begins with that of its rule, as far as there is room. */
static void a_tunnel_that_was_found(void **state)
{
    fake_discovery(true);
    room_begin(&room, 3, HOSTS,
               "discover \"" ODD "\" { protect = \"10.1.0.0/16 10.0.0.0/8\" identity = west.example.net "
               "psk = \"" ROOM_PSK "\" }\n");
    struct dt_ted_answer a = {.found = true,
                              .rule = 1,
                              .packet = {.src = dt_addr4(0x0a010005), .dst = dt_addr4(0x0a020007)},
                              .peer = room.w.host[PEER].addr};
    a.result = (struct dt_ted_proxy){.src = dt_addr4(0x0a010000),
                                     .src_mask = dt_addr4(0xffff0000),
                                     .dst = dt_addr4(0x0a020000),
                                     .dst_mask = dt_addr4(0xffff0000)};
    int fd = monitor();
    const struct tun *t = discover_found(room.d.discover, &a);
    assert_non_null(t);
    room_pass(&room, DT_SEC);
    static const char name[] = "x\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc/192.0.2.2/";
    assert_memory_equal(t->cfg.cfg.name, name, sizeof(name) - 1);
    json_t *s = result("discover_status");
    assert_string_equal(str(first(s, "tunnels"), "name"), t->cfg.cfg.name);
    json_decref(s);
    s = result("status");
    assert_string_equal(str(first(s, "tunnels"), "name"), t->cfg.cfg.name);
    json_decref(s);
    events_of(fd, t->cfg.cfg.name);
    room_end(&room);
    fake_discovery(false);
}

/* A folder may hold files whose names are of another age. */
static void a_file_whose_name_is_no_utf8(void **state)
{
    char path[128], include[128];
    room_begin(&room, 4, HOSTS, "");
    snprintf(path, sizeof(path), "%s/K\xf6ln.inc", room.dir);
    snprintf(include, sizeof(include), "include(\"%s/*.inc\")\n", room.dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dprintf(fd, "%s%s", TUNNEL(ODD, "inside = 10.2.0.0/16"),
            "rule \"" ODD "\" { action = tunnel gateway = 192.0.2.2 from = 10.2.0.0/16 to = 10.1.0.0/16 }\n");
    close(fd);
    room_write(&room, include);
    json_decref(result("reload"));
    json_t *a = request("explain", json_pack("{s:s, s:s}", "src", "10.2.0.1", "dst", "10.1.0.1"));
    const json_t *layer = first(json_object_get(a, "result"), "pending");
    assert_string_equal(str(layer, "rule"), ODD);
    assert_non_null(strstr(str(layer, "file"), "/Kln.inc"));
    json_decref(a);
    dprintf(fd = open(path, O_WRONLY | O_APPEND), "tunnel {\n");
    close(fd);
    a = request("reload", json_object());
    assert_non_null(strstr(str(a, "error"), "/Kln.inc:"));
    json_decref(a);
    unlink(path);
    room_end(&room);
}

/* Identities come from the wire, as octets of any kind. */
static void a_client_whose_identity_is_no_text(void **state)
{
    static const struct {
        uint8_t type;
        const char *octets, *told;
    } ids[] = {{DT_ID_KEY_ID, "\xff\xc3\x1b\"", "keyid:ffc31b22"},
               {DT_ID_FQDN, "a\xc3(\\\n.net", "a\\xc3(\\x5c\\x0a.net"},
               {DT_ID_RFC822_ADDR, "\xe4@b", "\\xe4@b"},
               {200, "\x80\x81", "id200:8081"}};
    for (size_t i = 0; i < DT_ARRAY_LEN(ids); i++) {
        struct dt_tunnel_cfg cfg;
        room_begin(&room, 5 + i, HOSTS,
                   "gateway \"" ODD "\" { listen = 192.0.2.1 identity = vpn.example.net psk = \"" ROOM_PSK
                   "\" protect = 10.0.0.0/8 pool = 10.8.0.0/24 " ROOM_PROPOSALS "}\n");
        int fd = monitor();
        world_tunnel_cfg(&room.w, &cfg, PEER, DAEMON);
        cfg.local_id = (struct dt_ike_id){.type = ids[i].type, .len = (uint8_t)strlen(ids[i].octets)};
        memcpy(cfg.local_id.data, ids[i].octets, cfg.local_id.len);
        world_connect(&room.w, PEER, DAEMON, &cfg);
        room_pass(&room, 2 * DT_SEC);
        assert_true(world_up(&room.w, PEER));
        json_t *s = result("status");
        const json_t *g = first(s, "gateways");
        assert_string_equal(str(g, "name"), ODD);
        assert_string_equal(str(first(g, "clients"), "identity"), ids[i].told);
        json_decref(s);
        events_of(fd, ids[i].told);
        room_end(&room);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_that_nobody_has),
        cmocka_unit_test(a_value_that_is_wrong),
        cmocka_unit_test(a_tunnel_that_was_found),
        cmocka_unit_test(a_file_whose_name_is_no_utf8),
        cmocka_unit_test(a_client_whose_identity_is_no_text),
    };
    return TEST_RUN(tests);
}
