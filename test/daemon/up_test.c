/* `dovetail up` is answered when the host has what the tunnel needs, whenever it is asked. */
#include <string.h>
#include <unistd.h>

#include "daemon/room.h"

static const char conf[] =
    "tunnel \"office\" { gateway = \"192.0.2.2\" local = \"anna@example.net\" remote = \"vpn.example.net\" "
    "psk = \"" ROOM_PSK "\" protect = \"10.1.0.0/16\" encap = esp " ROOM_PROPOSALS "}\n";

/* On a busy machine the routes of one turn are told to the keeper only turns later. */
static void who_asks_after_it_came_up_finds_its_routes(void **state)
{
    static struct room r;
    static char said[4096];
    struct dt_tunnel_info info;
    room_begin(&r, 1, 2, conf);
    world_serve(&r.w, 1, WORLD_DOVETAIL);
    r.d.routes.flush_after = r.d.routes.look_at = dt_time_add(r.w.now, 60 * DT_SEC);
    room_pass(&r, 2 * DT_SEC);
    assert_true(dt_endpoint_tunnel_info(r.d.ep, dt_endpoint_tunnel_by_name(r.d.ep, "office"), &info));
    assert_true(info.up);
    assert_true(r.d.routes.changed); /* it is up, and the host does not know yet */
    int fd = room_connect(&r);
    room_send(fd, "{\"v\":1,\"id\":1,\"command\":\"up\",\"args\":{\"tunnels\":[\"office\"]}}\n");
    room_pass(&r, DT_SEC);
    assert_true(room_read(fd, said, sizeof(said)) > 0);
    assert_non_null(strstr(said, "\"ok\":true"));
    assert_false(r.d.routes.changed);
    close(fd);
    room_end(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(who_asks_after_it_came_up_finds_its_routes)};
    return TEST_RUN(tests);
}
