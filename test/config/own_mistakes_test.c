/* Mistakes that one side's file or host shows by itself: each is told with its line, and with what would be right. */
#include "support/test.h"

#include <string.h>

#include "config/config.h"

#define TUNNEL(name, rest)                                                                                   \
    "tunnel \"" name "\" { gateway = 203.0.113.1 local = a@b.c remote = v.b psk = \"file:/x\" " rest " }\n"

/* Some complaint, a warning or not, has this line and says this; NULL: there is none. */
static void expect(const char *text, unsigned line, bool warning, const char *what)
{
    struct dt_config c;
    int rc = dt_config_parse(&c, text, strlen(text), "test.conf", DT_CONFIG_NO_FILES);
    bool found = what == NULL;
    for (size_t i = 0; what == NULL && i < c.nissue; i++)
        found = found && strstr(c.issue[i].text, "includes no ICMP") != NULL;
    for (size_t i = 0; what != NULL && i < c.nissue; i++)
        found = found || (c.issue[i].line == line && c.issue[i].warning == warning &&
                          strstr(c.issue[i].text, what) != NULL);
    if (!found || rc != (what != NULL && !warning ? -1 : 0))
        fail_msg("%s\nwanted line %u \"%s\", got %zu, the first \"%s\"", text, line,
                 what != NULL ? what : "nothing", c.nissue, c.nissue ? c.issue[0].text : "");
    dt_config_free(&c);
}

static void exceptions(void **state)
{
    expect(TUNNEL("t", "protect = { 0.0.0.0/0, ::/0 }\n except = { 192.168.0.0/16, 10.0.0.0/8 }"), 0, false, NULL);
    expect(TUNNEL("t", "protect = 10.0.0.0/8\n except = 192.168.0.0/16"), 2, false,
           "except: 192.168.0.0/16 is not in protect, and goes past the tunnel anyway");
    expect(TUNNEL("t", "protect = { 10.1.0.0/16, 10.2.0.0/16 }\n except = 10.0.0.0/8"), 2, false,
           "except: 10.0.0.0/8 leaves nothing of 10.1.0.0/16 in protect");
    expect(TUNNEL("t", "protect = 10.0.0.0/8\n except = 10.1.2.3/16"), 2, false,
           "10.1.0.0/16 would be right");
    expect(TUNNEL("t", "protect = 10.0.0.0/8\n except = printer"), 2, false, "is no prefix");
    expect(TUNNEL("t", "protect = 10.0.0.0/8\n lan = yes"), 2, false, "local or tunnel would be right");
    expect(TUNNEL("t", "protect = 10.0.0.0/8 lan = tunnel"), 0, false, NULL);
    expect(TUNNEL("t", "protect = { 0.0.0.0/0, ::/0 }\n except = 10.1.0.0/16") TUNNEL("u", "protect = 10.0.0.0/8"), 2,
           false, "except: 10.1.0.0/16 is protected by tunnel \"u\" too");
    expect(TUNNEL("t", "protect = { 0.0.0.0/0, ::/0 }\n except = 10.0.0.0/8") TUNNEL("u", "protect = 10.1.0.0/16"), 0,
           false, NULL);
}

static void two_tunnels_for_one_network(void **state)
{
    expect(TUNNEL("t", "protect = 10.1.0.0/16") TUNNEL("u", "protect = { 10.3.0.0/16, 10.1.0.0/16 }"), 2,
           true,
           "tunnel \"u\" protects 10.1.0.0/16, and tunnel \"t\" in line 1 protects 10.1.0.0/16: only one of "
           "them carries it");
    expect(TUNNEL("t", "protect = 10.0.0.0/8") TUNNEL("u", "protect = 10.1.0.0/16")
               TUNNEL("w", "protect = 10.1.0.0/16"),
           3, true, "tunnel \"w\" protects 10.1.0.0/16, and tunnel \"u\"");
    expect(TUNNEL("t", "protect = 10.0.0.1-10.0.0.9") TUNNEL("u", "protect = 10.0.0.5-10.0.0.20"), 2, true,
           "tunnel \"u\" protects 10.0.0.5-10.0.0.20, and tunnel \"t\"");
    expect(TUNNEL("t", "protect = 10.0.0.0/8") TUNNEL("u", "protect = { 10.1.0.0/16, 0.0.0.0/0, ::/0 }"), 0,
           false, NULL);
    expect(TUNNEL("t", "protect = 10.1.0.0/16[tcp/443]") TUNNEL("u", "protect = 10.1.0.0/16[tcp/80]"), 0,
           false, NULL);
    expect(TUNNEL("t", "protect = 10.1.0.0/16")
               TUNNEL("u", "protect = 10.1.0.0/16") "rule r { action = tunnel gateway = 203.0.113.1 use = t "
                                                    "to = 10.1.0.0/16 }",
           0, false, NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(exceptions),
                                              cmocka_unit_test(two_tunnels_for_one_network)};
    return TEST_RUN(tests);
}
