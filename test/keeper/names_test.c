/* What the keeper says to the resolver of a host: programs that note how they were called stand in for it. */
#include "support/test.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "keeper/message.h"

static char dir[64], calls[8192];

static void program(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\necho \"%s $*\" >>%s/calls\n%s\n", name, dir, text);
    fclose(f);
    assert_int_equal(chmod(path, 0755), 0);
}

static void no_program(const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    unlink(path);
}

static int start(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/dovetail-names-XXXXXX");
    assert_non_null(mkdtemp(dir));
    setenv("PATH", dir, 1);
    return 0;
}

static int end(void **state)
{
    no_program("resolvectl");
    no_program("resolvconf");
    no_program("calls");
    no_program("input");
    return rmdir(dir);
}

static struct dt_keeper_names names(bool all, const char *domains)
{
    struct dt_keeper_names n = {.n = 2, .all = all};
    dt_addr_parse(&n.server[0], "10.1.0.53");
    dt_addr_parse(&n.server[1], "fd01::53");
    snprintf(n.domains, sizeof(n.domains), "%s", domains);
    return n;
}

static void read_file(const char *name, char *out, size_t cap)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, cap - 1) : 0;
    out[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
}

/* The end's rc; how programs were called is in `calls`. */
static int apply(const struct dt_keeper_names *n, struct dt_keeper_word *w)
{
    int pair[2];
    no_program("calls");
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    keeper_names_apply(pair[1], "dovetail0", n);
    close(pair[1]);
    assert_true(dt_keeper_hear(pair[0], w));
    assert_true(w->end);
    close(pair[0]);
    read_file("calls", calls, sizeof(calls));
    return w->rc;
}

static void a_split_tunnel_has_its_domains(void **state)
{
    struct dt_keeper_word w;
    struct dt_keeper_names n = names(false, "corp.example.net lab.example.net");
    program("resolvectl", "");
    assert_int_equal(apply(&n, &w), DT_KEEPER_BY_RESOLVED);
    assert_string_equal(calls, "resolvectl default-route dovetail0 no\n"
                               "resolvectl domain dovetail0 corp.example.net lab.example.net\n"
                               "resolvectl dns dovetail0 10.1.0.53 fd01::53\n");
    n = names(false, "");
    assert_int_equal(apply(&n, &w), DT_KEEPER_BY_RESOLVED);
    assert_string_equal(calls, "resolvectl default-route dovetail0 no\n"
                               "resolvectl domain dovetail0 \n"
                               "resolvectl dns dovetail0 10.1.0.53 fd01::53\n");
}

static void a_full_tunnel_has_all_names(void **state)
{
    struct dt_keeper_word w;
    struct dt_keeper_names n = names(true, "corp.example.net");
    program("resolvectl", "");
    assert_int_equal(apply(&n, &w), DT_KEEPER_BY_RESOLVED);
    assert_string_equal(calls, "resolvectl default-route dovetail0 yes\n"
                               "resolvectl domain dovetail0 corp.example.net ~.\n"
                               "resolvectl dns dovetail0 10.1.0.53 fd01::53\n");
}

static void what_stands_is_not_set_again(void **state)
{
    struct dt_keeper_word w;
    struct dt_keeper_names n = names(false, "corp.example.net");
    n.look = 1;
    program("resolvectl", "case \"$1 $#\" in 'dns 2') echo 'Link 5 (dovetail0): 10.1.0.53 fd01::53' ;;"
                          "'domain 2') echo 'Link 5 (dovetail0): corp.example.net' ;; esac");
    assert_int_equal(apply(&n, &w), DT_KEEPER_BY_RESOLVED);
    assert_string_equal(calls, "resolvectl dns dovetail0\nresolvectl domain dovetail0\n");
    static const char *const others[] = {"", "10.1.0.53", "10.1.0.53 fd01::53 10.1.0.54",
                                         "10.1.0.53 fd01::533"};
    for (size_t i = 0; i < DT_ARRAY_LEN(others); i++) {
        char text[256];
        snprintf(text, sizeof(text), "[ $# = 2 ] && echo 'Link 5 (dovetail0): %s'; exit 0", others[i]);
        program("resolvectl", text);
        assert_int_equal(apply(&n, &w), DT_KEEPER_BY_RESOLVED + DT_KEEPER_SET_AGAIN);
        assert_non_null(strstr(calls, "resolvectl dns dovetail0 10.1.0.53 fd01::53\n"));
    }
}

static void resolvconf_is_next(void **state)
{
    struct dt_keeper_word w;
    struct dt_keeper_names n = names(true, "corp.example.net");
    char input[512], text[256];
    snprintf(text, sizeof(text), "while read -r l; do echo \"$l\"; done >%s/input", dir);
    program("resolvectl", "echo 'Failed to connect to bus' >&2; exit 1");
    program("resolvconf", text);
    assert_int_equal(apply(&n, &w), DT_KEEPER_BY_RESOLVCONF);
    assert_non_null(strstr(calls, "resolvconf -a dovetail0 -m 0 -x\n"));
    read_file("input", input, sizeof(input));
    assert_string_equal(input, "nameserver 10.1.0.53\nnameserver fd01::53\nsearch corp.example.net\n");
    /* Of a split tunnel, where only some names may go there: openresolv alone can. */
    n = names(false, "corp.example.net");
    assert_int_equal(apply(&n, &w), -1);
    assert_null(strstr(calls, "-a"));
    assert_non_null(strstr(w.text, "resolvconf cannot ask the tunnel's servers for some names alone"));
    program("resolvconf", "[ \"$1\" = --version ] && echo 'openresolv 3.12.0'; exit 0");
    assert_int_equal(apply(&n, &w), DT_KEEPER_BY_RESOLVCONF);
    assert_non_null(strstr(calls, "resolvconf -a dovetail0 -p\n"));
}

static void it_is_taken_back(void **state)
{
    struct dt_keeper_word w;
    const struct dt_keeper_names none = {.n = 0};
    program("resolvectl", "");
    program("resolvconf", "");
    assert_int_equal(apply(&none, &w), DT_KEEPER_TAKEN_BACK);
    assert_string_equal(calls, "resolvectl revert dovetail0\nresolvconf -d dovetail0\n");
}

static void a_host_without_any_says_so(void **state)
{
    struct dt_keeper_word w;
    struct dt_keeper_names n = names(true, "");
    no_program("resolvectl");
    no_program("resolvconf");
    assert_int_equal(apply(&n, &w), -1);
    assert_non_null(strstr(w.text, "neither resolvectl (systemd-resolved) nor resolvconf"));
    program("resolvectl", "echo 'Link \x01 is unknown' >&2; exit 3");
    assert_int_equal(apply(&n, &w), -1);
    assert_string_equal(w.text, "resolvectl default-route: Link   is unknown");
}

static void one_that_hangs_is_ended(void **state)
{
    struct dt_keeper_word w;
    struct dt_keeper_names n = names(true, "");
    struct timespec from, to;
    char text[256], child[32];
    snprintf(text, sizeof(text), "/bin/sleep 60 & echo $! >%s/input; wait", dir);
    program("resolvectl", text);
    no_program("resolvconf");
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_int_equal(apply(&n, &w), -1);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_in_range(to.tv_sec - from.tv_sec, 3, 20);
    assert_string_equal(w.text, "resolvectl had not ended after 4 s, and was killed");
    read_file("input", child, sizeof(child)); /* what it had begun has ended with it */
    snprintf(text, sizeof(text), "/proc/%d/exe", atoi(child));
    assert_true(atoi(child) > 0);
    for (int i = 0; i < 50 && access(text, F_OK) == 0; i++)
        usleep(100000);
    assert_int_not_equal(access(text, F_OK), 0);
}

static void a_flood_is_bounded(void **state)
{
    struct dt_keeper_word w;
    struct dt_keeper_names n = names(true, "");
    program("resolvectl", "i=0; while [ $i -lt 3000 ]; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; "
                          "i=$((i+1)); done; exit 1");
    assert_int_equal(apply(&n, &w), -1);
    assert_string_equal(w.text, "resolvectl default-route: 2900 more lines were left out");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_split_tunnel_has_its_domains),
        cmocka_unit_test(a_full_tunnel_has_all_names),
        cmocka_unit_test(what_stands_is_not_set_again),
        cmocka_unit_test(resolvconf_is_next),
        cmocka_unit_test(it_is_taken_back),
        cmocka_unit_test(a_host_without_any_says_so),
        cmocka_unit_test(one_that_hangs_is_ended),
        cmocka_unit_test(a_flood_is_bounded),
    };
    return cmocka_run_group_tests_name(__FILE__, tests, start, end);
}
