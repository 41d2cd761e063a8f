/* A real keeper, and a daemon that asks for more than it may have. */
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rand.h"
#include "keeper/client.h"

static char dir[64], conf[128];

static const char *at(const char *name)
{
    static char path[4][192];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
    return p;
}

static void put(const char *name, const char *text)
{
    int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static int folders(void **state)
{
    char text[1024];
    snprintf(dir, sizeof(dir), "/tmp/dovetail-keeper-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(conf, sizeof(conf), "%s/conf", dir);
    assert_int_equal(mkdir(at("conf.d"), 0700), 0);
    put("conf", "include(\"conf.d/*.conf\")\ninclude(\"more\")\n");
    put("more", "nat { n = 4 }\n");
    put("psk", "what both sides know\n");
    put("other", "not named\n");
    assert_int_equal(symlink(at("other"), at("link")), 0);
    snprintf(text, sizeof(text),
             "tunnel \"a\" { gateway = 203.0.113.1 local = a@example.net remote = vpn.example.net\n"
             "psk = \"file:%s/psk\" protect = 10.0.0.0/8 }\n"
             "tunnel \"b\" { gateway = 203.0.113.1 local = b@example.net remote = vpn.example.net\n"
             "psk = \"file:%s/link\" protect = 10.0.0.0/8 start = manual }\n",
             dir, dir);
    put("conf.d/a.conf", text);
    put("conf.d/b.txt", "nothing");
    return 0;
}

static struct dt_keeper *start(void)
{
    struct dt_err err = {0};
    struct dt_keeper *k = dt_keeper_start(conf, &err);
    if (k == NULL)
        fail_msg("%s", err.text);
    return k;
}

/* The keeper has closed its end; no descriptor came before that. */
static void assert_ended(struct dt_keeper *k)
{
    static struct keeper_reply reply;
    int fd;
    size_t n = 1;
    struct pollfd p = {.fd = k->fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
    ssize_t len = keeper_recv(k->fd, &reply, sizeof(reply), &fd, &n);
    assert_int_equal(n, 0);
    assert_true(len <= 0);
}

/* ---- files ---- */

static int reader(struct dt_keeper *k)
{
    const struct keeper_request r = {.what = KEEPER_LOAD};
    static struct keeper_reply reply;
    int fd = -1;
    assert_int_equal(keeper_ask(k, &r, &reply, &fd, 1, NULL), 0);
    return fd;
}

/* The errno of asking for it, 0: a descriptor came. The text goes to `text`, if there is room for one. */
static int ask_file(int fd, uint32_t what, const char *path, char text[256])
{
    struct keeper_file_request r = {.what = what};
    struct keeper_file_reply reply = {.error = -1};
    size_t n = 1;
    int file = -1;
    snprintf(r.path, sizeof(r.path), "%s", path);
    assert_int_equal(
        keeper_send(fd, &r, offsetof(struct keeper_file_request, path) + strlen(path) + 1, NULL, 0), 0);
    assert_int_equal(keeper_recv(fd, &reply, sizeof(reply), &file, &n), sizeof(reply));
    assert_true((n == 1) == (reply.error == 0 && what != KEEPER_FILE_MATCH));
    if (n == 1) {
        assert_int_equal(fcntl(file, F_GETFL) & O_ACCMODE, O_RDONLY);
        ssize_t got = text != NULL ? read(file, text, 255) : 0;
        if (text != NULL)
            text[got > 0 ? got : 0] = '\0';
        close(file);
    }
    return reply.error;
}

static void what_the_configuration_names_is_given(void **state)
{
    struct dt_keeper *k = start();
    char text[256];
    int fd = reader(k);
    assert_int_equal(ask_file(fd, KEEPER_FILE_TEXT, conf, text), 0);
    assert_non_null(strstr(text, "conf.d"));
    assert_int_equal(ask_file(fd, KEEPER_FILE_TEXT, at("more"), NULL), 0);
    assert_int_equal(ask_file(fd, KEEPER_FILE_TEXT, at("conf.d/a.conf"), NULL), 0);
    assert_int_equal(ask_file(fd, KEEPER_FILE_SECRET, at("psk"), text), 0);
    assert_string_equal(text, "what both sides know\n");
    assert_int_equal(ask_file(fd, KEEPER_FILE_SECRET, at("link"), NULL), ELOOP);
    close(fd);
    dt_keeper_dismiss(k);
}

static void nothing_else_is(void **state)
{
    struct dt_keeper *k = start();
    char around[256];
    int fd = reader(k);
    static const char *const others[] = {"/etc/passwd", "/etc/shadow", "/proc/self/mem", ""};
    for (uint32_t what = KEEPER_FILE_TEXT; what <= KEEPER_FILE_MATCH; what++) {
        for (size_t i = 0; others[i][0] != '\0'; i++)
            assert_int_equal(ask_file(fd, what, others[i], NULL), EACCES);
        assert_int_equal(ask_file(fd, what, at("other"), NULL), EACCES);
        assert_int_equal(ask_file(fd, what, at("conf.d/b.txt"), NULL), EACCES);
        snprintf(around, sizeof(around), "%s/conf.d/../psk", dir);
        assert_int_equal(ask_file(fd, what, around, NULL), EACCES);
        assert_int_equal(ask_file(fd, what, at("*"), NULL), EACCES);
    }
    assert_int_equal(ask_file(fd, KEEPER_FILE_SECRET, conf, NULL),
                     EACCES); /* each for what it is named for */
    assert_int_equal(ask_file(fd, KEEPER_FILE_TEXT, at("psk"), NULL), EACCES);
    close(fd);
    dt_keeper_dismiss(k);
}

static void a_configuration_is_read_as_by_oneself(void **state)
{
    struct dt_keeper *k = start();
    struct dt_config mine, kept;
    unlink(at("link"));
    put("link", "another\n");
    assert_int_equal(dt_config_load(&mine, conf), 0);
    assert_int_equal(dt_keeper_load(k, &kept), 0);
    assert_int_equal(kept.ntunnel, 2);
    assert_int_equal(kept.nissue, mine.nissue);
    for (size_t i = 0; i < 2; i++)
        assert_true(dt_config_tunnel_same(&mine.tunnel[i], &kept.tunnel[i]));
    assert_memory_equal(kept.tunnel[0].psk.key, "what both sides know", 20);
    dt_config_free(&mine);
    dt_config_free(&kept);
    /* And once more, after it has changed. */
    put("psk", "what they know now\n");
    assert_int_equal(dt_keeper_load(k, &kept), 0);
    assert_memory_equal(kept.tunnel[0].psk.key, "what they know now", 18);
    dt_config_free(&kept);
    dt_keeper_dismiss(k);
    unlink(at("link"));
    assert_int_equal(symlink(at("other"), at("link")), 0);
}

/* The first child of a process; 0: it has none. */
static int child_of(int parent)
{
    DIR *d = opendir("/proc");
    struct dirent *e;
    int child = 0;
    assert_non_null(d);
    while (child == 0 && (e = readdir(d)) != NULL) {
        char path[280], text[512] = "";
        int ppid = 0;
        snprintf(path, sizeof(path), "/proc/%s/stat", e->d_name);
        int fd = e->d_name[0] >= '0' && e->d_name[0] <= '9' ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
        const char *name_ends = n > 0 ? strrchr(text, ')') : NULL;
        if (name_ends != NULL && sscanf(name_ends, ") %*c %d", &ppid) == 1 && ppid == parent)
            child = atoi(e->d_name);
        if (fd >= 0)
            close(fd);
    }
    closedir(d);
    return child;
}

/* Not even as one that nobody has waited for. */
static void nothing_of_the_reader_stays(void **state)
{
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* the keeper becomes our child */
    struct dt_keeper *k = start();
    int keeper = child_of(getpid());
    struct dt_config c;
    assert_true(keeper > 0);
    assert_int_equal(dt_keeper_load(k, &c), -1); /* one of its secrets is a link */
    dt_config_free(&c);
    for (int i = 0; i < 1000 && child_of(keeper) != 0; i++)
        usleep(10000);
    assert_int_equal(child_of(keeper), 0);
    dt_keeper_dismiss(k);
    waitpid(keeper, NULL, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

/* ---- requests ---- */

static void garbage_ends_it(void **state)
{
    uint64_t seed = test_seed(__func__);
    struct dt_prng p;
    dt_prng_seed(&p, seed);
    struct dt_rand rand = dt_prng_rand(&p);
    for (int i = 0; i < 60; i++) {
        static uint8_t octets[40000];
        struct dt_keeper *k = start();
        uint16_t len;
        dt_rand_fill(&rand, &len, sizeof(len));
        size_t n = 1 + len % sizeof(octets);
        dt_rand_fill(&rand, octets, sizeof(octets));
        if (n >= 4 && i % 2)
            octets[0] = (uint8_t)(KEEPER_SETUP + i % 8), octets[1] = octets[2] = octets[3] = 0;
        assert_int_equal(keeper_send(k->fd, octets, n, NULL, 0), 0);
        assert_ended(k);
        dt_keeper_dismiss(k);
    }
}

static void before_the_setup_there_is_no_host(void **state)
{
    static const uint32_t what[] = {KEEPER_DEVICE, KEEPER_WANT, KEEPER_KEEP, KEEPER_KEYLOG,
                                    KEEPER_DISCOVER_OPEN};
    for (size_t i = 0; i < DT_ARRAY_LEN(what); i++) {
        struct dt_keeper *k = start();
        struct keeper_request *r = calloc(1, sizeof(*r));
        r->what = what[i];
        assert_int_equal(keeper_send(k->fd, r, keeper_request_len(r), NULL, 0), 0);
        assert_ended(k);
        free(r);
        dt_keeper_dismiss(k);
    }
}

static struct dt_keeper_setup setup(void)
{
    struct dt_keeper_setup s = {
        .device = "dtnone0", .mtu = 1400, .queues = 1, .ike_port = 500, .natt_port = 4500};
    snprintf(s.socket, sizeof(s.socket), "%s", at("sock"));
    snprintf(s.kept, sizeof(s.kept), "%s", at("kept"));
    return s;
}

static void it_is_set_up_once(void **state)
{
    struct dt_keeper *k = start();
    struct dt_keeper_setup s = setup();
    char note[DT_ERR_TEXT];
    struct dt_err err = {0};
    assert_int_equal(dt_keeper_setup(k, &s, note, &err), 0);
    snprintf(s.kept, sizeof(s.kept), "%s", at("psk"));
    assert_int_equal(dt_keeper_setup(k, &s, note, &err), -1);
    assert_non_null(dt_keeper_gone(k));
    assert_non_null(strstr(err.text, "restart dovetaild"));
    dt_keeper_dismiss(k);
}

static void what_is_kept_is_replaced_as_a_whole(void **state)
{
    struct dt_keeper *k = start();
    struct dt_keeper_setup s = setup();
    char note[DT_ERR_TEXT], text[64] = "";
    struct dt_err err = {0};
    struct stat st;
    assert_int_equal(dt_keeper_setup(k, &s, note, &err), 0);
    assert_int_equal(dt_keeper_keep(k, DT_KEEPER_KEPT, "one", 3, &err), 0);
    assert_int_equal(dt_keeper_keep(k, DT_KEEPER_KEPT, "another", 7, &err), 0);
    int fd = open(at("kept"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof(text) - 1), 7);
    assert_string_equal(text, "another");
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    close(fd);
    /* What is no file, or endless, is not copied. */
    const struct keeper_request r = {.what = KEEPER_KEEP};
    static struct keeper_reply reply;
    int pipes[2], big = memfd_create("big", MFD_CLOEXEC);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(ftruncate(big, KEEPER_KEEP_MAX + 1), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(keeper_send(k->fd, &r, keeper_request_len(&r), i ? &big : &pipes[0], 1), 0);
        assert_true(keeper_recv(k->fd, &reply, sizeof(reply), NULL, NULL) > 0);
        assert_int_equal(reply.rc, -1);
    }
    close(big);
    close(pipes[0]);
    close(pipes[1]);
    assert_int_equal(stat(at("kept"), &st), 0);
    assert_int_equal(st.st_size, 7);
    dt_keeper_dismiss(k);
}

/* Whatever stands where the new text is put together is not written into, and a disk that is full is said to be. */
static void what_is_kept_is_put_together_in_a_file_of_its_own(void **state)
{
    struct dt_err err = {0};
    struct stat st;
    struct rlimit all, few = {.rlim_cur = 3};
    int text = memfd_create("text", MFD_CLOEXEC);
    assert_int_equal(write(text, "longer", 6), 6);
    put("kept", "as it was");
    put("other name", "somebody's");
    assert_int_equal(link(at("other name"), at("kept.new")), 0);
    assert_int_equal(keeper_keep(at("kept"), false, text, &err), 0);
    assert_int_equal(stat(at("other name"), &st), 0);
    assert_int_equal(st.st_size, 10);
    assert_int_equal(mkfifo(at("kept.new"), 0600), 0); /* nobody reads it: to open it would take for ever */
    alarm(30);
    assert_int_equal(keeper_keep(at("kept"), false, text, &err), 0);
    alarm(0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &all), 0);
    few.rlim_max = all.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
    int rc = keeper_keep(at("kept"), false, text, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
    assert_int_equal(rc, -1);
    assert_non_null(strstr(err.text, strerror(EFBIG)));
    assert_int_equal(stat(at("kept"), &st), 0);
    assert_int_equal(st.st_size, 6);
    assert_int_equal(access(at("kept.new"), F_OK), -1);
    close(text);
    unlink(at("kept"));
    unlink(at("other name"));
}

static void keys_go_to_a_file_of_its_own(void **state)
{
    struct dt_keeper *k = start();
    struct dt_keeper_setup s = setup();
    char note[DT_ERR_TEXT];
    struct dt_err err = {0};
    struct stat st;
    snprintf(s.keylog, sizeof(s.keylog), "%s", at("keys"));
    assert_int_equal(dt_keeper_setup(k, &s, note, &err), 0);
    int fd = dt_keeper_keylog(k, &err);
    assert_int_equal(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
    assert_true(fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0600);
    close(fd);
    assert_int_equal(chmod(at("keys"), 0640), 0);
    assert_int_equal(dt_keeper_keylog(k, &err), -1);
    assert_non_null(strstr(err.text, "chmod 600"));
    assert_int_equal(chmod(at("keys"), 0600), 0);
    assert_int_equal(link(at("keys"), at("keys2")), 0);
    assert_int_equal(dt_keeper_keylog(k, &err), -1);
    assert_non_null(strstr(err.text, "2 names"));
    unlink(at("keys"));
    assert_int_equal(symlink(at("keys2"), at("keys")), 0);
    assert_int_equal(dt_keeper_keylog(k, &err), -1);
    assert_non_null(strstr(err.text, "symbolic link"));
    unlink(at("keys"));
    unlink(at("keys2"));
    fd = dt_keeper_keylog(k, &err); /* taken away: a new one */
    assert_true(fd >= 0);
    close(fd);
    unlink(at("keys"));
    dt_keeper_dismiss(k);
}

/* ---- the end ---- */

static bool gone_soon(const char *path)
{
    for (int i = 0; i < 100; i++) {
        if (access(path, F_OK) != 0)
            return true;
        usleep(100000);
    }
    return false;
}

static void a_killed_daemons_socket_is_removed(void **state)
{
    struct dt_keeper *k = start();
    struct dt_keeper_setup s = setup();
    char note[DT_ERR_TEXT];
    assert_int_equal(dt_keeper_setup(k, &s, note, NULL), 0);
    put("sock", "");
    shutdown(k->fd, SHUT_RDWR);
    assert_true(gone_soon(at("sock")));
    dt_keeper_dismiss(k);
}

static int sweep(void **state)
{
    static const char *const names[] = {"conf.d/a.conf", "conf.d/b.txt", "conf", "more",
                                        "psk",           "other",        "link", "kept"};
    for (size_t i = 0; i < DT_ARRAY_LEN(names); i++)
        unlink(at(names[i]));
    rmdir(at("conf.d"));
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_configuration_names_is_given),
        cmocka_unit_test(nothing_else_is),
        cmocka_unit_test(a_configuration_is_read_as_by_oneself),
        cmocka_unit_test(nothing_of_the_reader_stays),
        cmocka_unit_test(garbage_ends_it),
        cmocka_unit_test(before_the_setup_there_is_no_host),
        cmocka_unit_test(it_is_set_up_once),
        cmocka_unit_test(what_is_kept_is_replaced_as_a_whole),
        cmocka_unit_test(what_is_kept_is_put_together_in_a_file_of_its_own),
        cmocka_unit_test(keys_go_to_a_file_of_its_own),
        cmocka_unit_test(a_killed_daemons_socket_is_removed),
    };
    return cmocka_run_group_tests_name(__FILE__, tests, folders, sweep);
}
