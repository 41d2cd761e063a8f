#include "support/test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/control.h"

static char path[64];

struct server {
    uv_loop_t loop;
    uv_async_t stop;
    struct dt_control_server *s;
    pthread_t thread;
    struct dt_control_request *pending;
    int cancelled;
    uv_timer_t later;
    struct dt_control_counters count;
    int inside, nested;        /* commands under way, and those that began while another one was */
    uintptr_t lowest, highest; /* of the stack, where a command began */
    int made, ended;           /* pieces of answers, and such answers that ended */
};

static void cmd_echo(void *ctx, struct dt_control_request *req, const json_t *args)
{
    dt_control_answer(req, json_deep_copy(args));
}

static void cmd_refuse(void *ctx, struct dt_control_request *req, const json_t *args)
{
    dt_control_fail(req, 2, json_pack("{s:s, s:s}", "ours", "a", "theirs", "b"), "line %d: no", 7);
}

static void cmd_stream(void *ctx, struct dt_control_request *req, const json_t *args)
{
    for (int i = 0; i < 3; i++)
        dt_control_event(req, json_pack("{s:i}", "n", i));
    dt_control_answer(req, NULL);
}

static void gone(void *arg)
{
    struct server *v = arg;
    v->pending = NULL;
    v->cancelled++;
}

static void cmd_hang(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct server *v = ctx;
    v->pending = req;
    dt_control_on_cancel(req, gone, v);
    dt_control_event(req, json_pack("{s:b}", "begun", 1));
}

static void answer_late(uv_timer_t *t)
{
    dt_control_answer(t->data, json_string("late"));
}

static void cmd_later(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct server *v = ctx;
    v->later.data = req;
    uv_timer_start(&v->later, answer_late, 20, 0);
}

/* Answers the request that hangs, in the middle of its own work. */
static void cmd_release(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct server *v = ctx;
    v->inside++;
    if (v->pending != NULL)
        dt_control_answer(v->pending, json_string("released"));
    v->pending = NULL;
    v->inside--;
    dt_control_answer(req, NULL);
}

static void cmd_where(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct server *v = ctx;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    v->nested += v->inside > 0;
    v->lowest = v->lowest == 0 || here < v->lowest ? here : v->lowest;
    v->highest = here > v->highest ? here : v->highest;
    dt_control_answer(
        req, json_pack("{s:i, s:I}", "nested", v->nested, "stack", (json_int_t)(v->highest - v->lowest)));
}

static void cmd_count(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct server *v = ctx;
    dt_control_answer(req, json_integer((json_int_t)dt_control_server_counters(v->s)->requests));
}

/* So many bytes of text, and a little. */
static void cmd_long(void *ctx, struct dt_control_request *req, const json_t *args)
{
    size_t n = (size_t)dt_control_arg_int(args, "bytes", 0);
    char *text = malloc(n + 1);
    memset(text, 'x', n);
    dt_control_answer(req, json_stringn(text, n));
    free(text);
}

/* What cannot be written as JSON: nothing of it is sent, and the request goes on. */
static void cmd_latin(void *ctx, struct dt_control_request *req, const json_t *args)
{
    dt_control_event(req, json_pack("{s:s}", "name", "B\xfcro"));
    dt_control_event(req, json_pack("{s:s}", "name", "office"));
    dt_control_answer(req, NULL);
}

/* An answer of `n` pieces with so many bytes of text each. `made` counts pieces, `ended` answers that ended. */
struct pieces {
    struct server *v;
    int left;
    size_t bytes;
    bool begun;
};

static bool next_piece(void *ctx, FILE *out)
{
    struct pieces *p = ctx;
    p->v->made++;
    fputs(p->begun ? "," : "[", out);
    p->begun = true;
    fprintf(out, "\"%0*d\"", (int)p->bytes, p->left);
    if (--p->left > 0)
        return true;
    fputc(']', out);
    return false;
}

static void end_pieces(void *ctx)
{
    struct pieces *p = ctx;
    p->v->ended++;
    free(p);
}

static void cmd_pieces(void *ctx, struct dt_control_request *req, const json_t *args)
{
    static const struct dt_control_pieces source = {.next = next_piece, .end = end_pieces};
    struct pieces *p = calloc(1, sizeof(*p));
    *p = (struct pieces){.v = ctx,
                         .left = (int)dt_control_arg_int(args, "n", 1),
                         .bytes = (size_t)dt_control_arg_int(args, "bytes", 1)};
    dt_control_answer_pieces(req, &source, p);
}

static void cmd_made(void *ctx, struct dt_control_request *req, const json_t *args)
{
    struct server *v = ctx;
    dt_control_answer(req, json_pack("{s:i, s:i}", "made", v->made, "ended", v->ended));
}

static const struct dt_control_command commands[] = {
    {"echo", cmd_echo},   {"refuse", cmd_refuse},   {"stream", cmd_stream}, {"hang", cmd_hang},
    {"later", cmd_later}, {"release", cmd_release}, {"where", cmd_where},   {"count", cmd_count},
    {"long", cmd_long},   {"latin", cmd_latin},     {"pieces", cmd_pieces},
    {"made", cmd_made},   {NULL, NULL},
};

static void stop(uv_async_t *a)
{
    struct server *v = a->data;
    v->count = *dt_control_server_counters(v->s);
    dt_control_server_close(v->s);
    uv_close((uv_handle_t *)&v->later, NULL);
    uv_close((uv_handle_t *)a, NULL);
}

static void *run(void *arg)
{
    struct server *v = arg;
    uv_run(&v->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void begin(struct server *v)
{
    struct dt_err err = {0};
    *v = (struct server){0};
    uv_loop_init(&v->loop);
    uv_async_init(&v->loop, &v->stop, stop);
    uv_timer_init(&v->loop, &v->later);
    v->stop.data = v;
    v->s = dt_control_server_open(&v->loop, path, (gid_t)-1, commands, v, &err);
    if (v->s == NULL)
        fail_msg("%s", err.text);
    pthread_create(&v->thread, NULL, run, v);
}

static void end(struct server *v)
{
    uv_async_send(&v->stop);
    pthread_join(v->thread, NULL);
    assert_int_equal(uv_loop_close(&v->loop), 0);
    assert_int_equal(access(path, F_OK), -1); /* the socket is gone */
}

static void questions_and_answers(void **state)
{
    struct server v;
    struct dt_err err = {0};
    json_t *result;
    begin(&v);
    assert_int_equal(dt_control_call(path, "echo", json_pack("{s:s}", "a", "b"), &result, &err), 0);
    assert_string_equal(json_string_value(json_object_get(result, "a")), "b");
    json_decref(result);
    assert_int_equal(dt_control_call(path, "refuse", NULL, &result, &err), 2);
    assert_string_equal(err.text, "line 7: no");
    assert_string_equal(json_string_value(json_object_get(result, "theirs")), "b");
    json_decref(result);
    assert_int_equal(dt_control_call(path, "dance", NULL, &result, &err), 1);
    assert_non_null(strstr(err.text, "\"dance\""));
    assert_int_equal(dt_control_call(path, "later", NULL, &result, &err), 0);
    assert_string_equal(json_string_value(result), "late");
    json_decref(result);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    end(&v);
    assert_int_equal(v.count.requests, 4);
}

static void streams(void **state)
{
    struct server v;
    struct dt_control_message m;
    begin(&v);
    struct dt_control_client *c = dt_control_connect(path, NULL);
    assert_int_equal(dt_control_send(c, "stream", NULL, NULL), 0);
    assert_int_equal(dt_control_send(c, "echo", NULL, NULL), 0); /* waits its turn */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(dt_control_next(c, 5000, &m), DT_CONTROL_EVENT);
        assert_int_equal(json_integer_value(json_object_get(m.value, "n")), i);
        json_decref(m.value);
    }
    assert_int_equal(dt_control_next(c, 5000, &m), DT_CONTROL_ANSWER);
    json_decref(m.value);
    assert_int_equal(dt_control_next(c, 5000, &m), DT_CONTROL_ANSWER);
    json_decref(m.value);
    dt_control_disconnect(c);
    end(&v);
}

static void a_peer_that_leaves(void **state)
{
    struct server v;
    struct dt_control_message m;
    begin(&v);
    struct dt_control_client *c = dt_control_connect(path, NULL);
    assert_int_equal(dt_control_send(c, "hang", NULL, NULL), 0);
    assert_int_equal(dt_control_next(c, 5000, &m), DT_CONTROL_EVENT);
    json_decref(m.value);
    assert_int_equal(dt_control_next(c, 10, &m), DT_CONTROL_ERROR);
    assert_non_null(strstr(m.err.text, "10 ms"));
    dt_control_disconnect(c);
    c = dt_control_connect(path, NULL);
    assert_int_equal(dt_control_send(c, "hang", NULL, NULL), 0);
    assert_int_equal(dt_control_next(c, 5000, &m), DT_CONTROL_EVENT);
    json_decref(m.value);
    end(&v); /* ends the second one too */
    assert_int_equal(v.cancelled, 2);
    assert_int_equal(dt_control_next(c, 5000, &m), DT_CONTROL_ERROR);
    dt_control_disconnect(c);
}

static int connected(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    strcpy(sa.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

/* Sends bytes as they are; the answer (or nothing) in out. */
static void raw(const char *bytes, size_t len, char *out, size_t cap)
{
    int fd = connected();
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        bytes += n;
        len -= (size_t)n;
    }
    shutdown(fd, SHUT_WR);
    size_t got = 0;
    ssize_t n;
    while (got + 1 < cap && (n = read(fd, out + got, cap - 1 - got)) > 0)
        got += (size_t)n;
    out[got] = '\0';
    close(fd);
}

static void nonsense(void **state)
{
    struct server v;
    char out[4096];
    static char big[DT_CONTROL_LINE_MAX + 10];
    begin(&v);
    raw("hello\n", 6, out, sizeof(out));
    assert_non_null(strstr(out, "not a JSON object"));
    raw("[1]\n", 4, out, sizeof(out));
    assert_non_null(strstr(out, "not a JSON object"));
    raw("{\"v\":9}\n", 8, out, sizeof(out));
    assert_non_null(strstr(out, "version 1"));
    raw("{\"v\":1}\n", 8, out, sizeof(out));
    assert_non_null(strstr(out, "command"));
    raw("{\"v\":1,\"command\":\"echo\",\"args\":[]}\n", 36, out, sizeof(out));
    assert_non_null(strstr(out, "args"));
    raw("{\"v\":1", 6, out, sizeof(out));
    assert_string_equal(out, "");
    memset(big, 'x', sizeof(big));
    raw(big, sizeof(big), out, sizeof(out));
    assert_non_null(strstr(out, "longer than 65536"));
    json_t *result;
    assert_int_equal(dt_control_call(path, "echo", NULL, &result, NULL), 0); /* still there */
    json_decref(result);
    end(&v);
    assert_int_equal(v.count.malformed, 6);
}

static void send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        assert_true(n > 0);
        bytes += n;
        len -= (size_t)n;
    }
}

/* One line; false: there is none any more. */
static bool read_line(FILE *f, char *out, size_t cap)
{
    return fgets(out, (int)cap, f) != NULL;
}

/* A request that is answered in the middle of another's work: what its connection sent behind it waits for the loop. */
static void the_next_request_comes_from_the_loop(void **state)
{
    static const char two[] =
        "{\"v\":1,\"id\":1,\"command\":\"hang\"}\n{\"v\":1,\"id\":2,\"command\":\"where\"}\n";
    struct server v;
    char line[512];
    json_t *result;
    begin(&v);
    int fd = connected();
    FILE *f = fdopen(fd, "r");
    send_all(fd, two, sizeof(two) - 1);
    assert_true(read_line(f, line, sizeof(line))); /* "begun" */
    assert_int_equal(dt_control_call(path, "release", NULL, &result, NULL), 0);
    json_decref(result);
    assert_true(read_line(f, line, sizeof(line)));
    assert_non_null(strstr(line, "released"));
    assert_true(read_line(f, line, sizeof(line)));
    assert_non_null(strstr(line, "\"id\":2"));
    fclose(f);
    end(&v);
    assert_int_equal(v.nested, 0);
}

/* Thousands of lines at once take no more stack than one, and each is answered, also after the last was sent. */
static void many_lines_at_once(void **state)
{
    static const char one[] = "{\"v\":1,\"id\":7,\"command\":\"where\"}\n";
    enum { LINES = 5000 };
    struct server v;
    char line[512];
    char *all = malloc(LINES * sizeof(one));
    begin(&v);
    for (size_t i = 0; i < LINES; i++)
        memcpy(all + i * (sizeof(one) - 1), one, sizeof(one) - 1);
    int fd = connected();
    FILE *f = fdopen(fd, "r");
    send_all(fd, all, LINES * (sizeof(one) - 1));
    shutdown(fd, SHUT_WR);
    size_t n = 0;
    while (read_line(f, line, sizeof(line)))
        n++;
    assert_int_equal(n, LINES);
    fclose(f);
    free(all);
    end(&v);
    assert_true(v.highest - v.lowest < 4096);
}

/* Who asks and does not read is not answered without end; who reads at last gets everything. */
static int asked(const char *command, const char *what)
{
    json_t *result = NULL;
    struct dt_err err = {0};
    if (dt_control_call(path, command, NULL, &result, &err) != 0)
        fail_msg("%s", err.text);
    int n = (int)json_integer_value(json_object_get(result, what));
    json_decref(result);
    return n;
}

/* Somebody else's requests are answered between any two pieces. */
static void an_answer_in_pieces_holds_nobody_up(void **state)
{
    struct server v;
    struct dt_control_message m;
    begin(&v);
    struct dt_control_client *c = dt_control_connect(path, NULL);
    for (int i = 0; i < 2; i++) /* on one connection they come one after the other */
        assert_int_equal(dt_control_send(c, "pieces", json_pack("{s:i, s:i}", "n", 20000, "bytes", 20), NULL), 0);
    int before = 0, most = 0;
    for (int n = 0; n < 50 && before < 40000; n++) {
        int fd = connected(), made;
        char text[4096] = "";
        static const char two[] = "{\"v\":1,\"id\":1,\"command\":\"made\"}\n{\"v\":1,\"id\":2,\"command\":\"made\"}\n";
        assert_int_equal(write(fd, two, sizeof(two) - 1), sizeof(two) - 1);
        for (size_t got = 0; strstr(text, "\"id\":2") == NULL;) {
            ssize_t k = read(fd, text + got, sizeof(text) - 1 - got);
            assert_true(k > 0);
            got += (size_t)k;
        }
        made = (int)strtol(strstr(strstr(text, "\"id\":2"), "\"made\":") + 7, NULL, 10);
        before = (int)strtol(strstr(text, "\"made\":") + 7, NULL, 10);
        most = made - before > most ? made - before : most; /* from one turn to the next but one */
        close(fd);
    }
    assert_true(most <= 4);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(dt_control_next(c, 30000, &m), DT_CONTROL_ANSWER);
        assert_int_equal(json_array_size(m.value), 20000);
        json_decref(m.value);
    }
    assert_int_equal(asked("made", "ended"), 2);
    assert_int_equal(asked("made", "made"), 40000);
    dt_control_disconnect(c);
    end(&v);
}

/* Whoever does not read has no more made for it than waits already; whoever goes ends it. */
static void pieces_for_a_slow_reader(void **state)
{
    struct server v;
    begin(&v);
    struct dt_control_client *c = dt_control_connect(path, NULL);
    enum { BYTES = 10000, ALL = 20000 }; /* 200 MB */
    assert_int_equal(dt_control_send(c, "pieces", json_pack("{s:i, s:i}", "n", ALL, "bytes", BYTES), NULL), 0);
    int made = -1, now;
    while ((now = asked("made", "made")) != made || now == 0)
        made = now;
    assert_true(made * (size_t)BYTES < DT_CONTROL_BACKLOG_MAX + (4u << 20)); /* and what the kernel takes */
    assert_int_equal(asked("made", "ended"), 0);
    dt_control_disconnect(c);
    while (asked("made", "ended") == 0)
        ;
    assert_int_equal(asked("made", "ended"), 1);
    c = dt_control_connect(path, NULL);
    assert_int_equal(dt_control_send(c, "pieces", json_pack("{s:i, s:i}", "n", ALL, "bytes", BYTES), NULL), 0);
    while (asked("made", "made") == now)
        ;
    end(&v); /* the server closes in the middle of it */
    assert_int_equal(v.ended, 2);
    dt_control_disconnect(c);
}

/* A peer that says no more may read the answer to the end, as after printf ... | nc -U. */
static void pieces_for_one_who_says_no_more(void **state)
{
    struct server v;
    static char out[4096];
    static const char ask[] = "{\"v\":1,\"id\":7,\"command\":\"pieces\",\"args\":{\"n\":100,\"bytes\":10}}\n";
    begin(&v);
    raw(ask, sizeof(ask) - 1, out, sizeof(out));
    json_t *m = json_loads(out, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(m, "result")), 100);
    assert_int_equal(json_integer_value(json_object_get(m, "id")), 7);
    json_decref(m);
    end(&v);
}

static void a_slow_reader(void **state)
{
    static const char one[] = "{\"v\":1,\"id\":7,\"command\":\"long\",\"args\":{\"bytes\":100000}}\n";
    enum { LINES = 200 };
    struct server v;
    struct dt_err err = {0};
    json_t *result;
    char *line = malloc(200000);
    begin(&v);
    int fd = connected();
    FILE *f = fdopen(fd, "r");
    for (size_t i = 0; i < LINES; i++)
        send_all(fd, one, sizeof(one) - 1);
    json_int_t before, now = 0;
    unsigned asked = 0;
    do { /* until it takes no more */
        before = now;
        usleep(200000);
        assert_int_equal(dt_control_call(path, "count", NULL, &result, &err), 0);
        now = json_integer_value(result) - ++asked;
        json_decref(result);
    } while (now != before);
    assert_true(now < 100);
    for (size_t i = 0; i < LINES; i++) {
        assert_true(read_line(f, line, 200000));
        assert_true(strlen(line) > 100000);
    }
    fclose(f);
    free(line);
    end(&v);
}

static void an_answer_that_no_client_takes(void **state)
{
    struct server v;
    struct dt_err err = {0};
    json_t *result = NULL;
    begin(&v);
    assert_int_equal(dt_control_call(path, "long",
                                     json_pack("{s:I}", "bytes", (json_int_t)DT_CONTROL_ANSWER_MAX), &result,
                                     &err),
                     1);
    assert_non_null(strstr(err.text, "ask for less"));
    json_decref(result);
    end(&v);
}

static void what_is_not_text_is_left_out(void **state)
{
    struct server v;
    struct dt_control_message m;
    begin(&v);
    struct dt_control_client *c = dt_control_connect(path, NULL);
    assert_int_equal(dt_control_send(c, "latin", NULL, NULL), 0);
    assert_int_equal(dt_control_next(c, 5000, &m), DT_CONTROL_EVENT);
    assert_string_equal(json_string_value(json_object_get(m.value, "name")), "office");
    json_decref(m.value);
    assert_int_equal(dt_control_next(c, 5000, &m), DT_CONTROL_ANSWER);
    json_decref(m.value);
    dt_control_disconnect(c);
    end(&v);
}

static void a_second_daemon_is_told(void **state)
{
    struct server v;
    uv_loop_t loop;
    struct dt_err err = {0};
    json_t *result;
    begin(&v);
    uv_loop_init(&loop);
    assert_null(dt_control_server_open(&loop, path, (gid_t)-1, commands, NULL, &err));
    assert_non_null(strstr(err.text, "already running"));
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(dt_control_call(path, "echo", NULL, &result, NULL),
                     0); /* the first one is undisturbed */
    json_decref(result);
    end(&v);
}

static void a_stale_socket_is_replaced(void **state)
{
    struct server v;
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct dt_err err = {0};
    strcpy(sa.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    close(fd);
    assert_null(dt_control_connect(path, &err));
    assert_non_null(strstr(err.text, path));
    begin(&v);
    end(&v);
    assert_null(dt_control_connect(path, &err));
    assert_non_null(strstr(err.text, "does not exist"));
}

static void what_is_in_the_way_stays(void **state)
{
    uv_loop_t loop;
    struct dt_err err = {0};
    FILE *f = fopen(path, "w");
    fclose(f);
    uv_loop_init(&loop);
    assert_null(dt_control_server_open(&loop, path, (gid_t)-1, commands, NULL, &err));
    assert_non_null(strstr(err.text, "not a socket"));
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    assert_null(dt_control_server_open(&loop, "/nonexistent/dir/sock", (gid_t)-1, commands, NULL, &err));
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* as the daemons do */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions_and_answers),
        cmocka_unit_test(streams),
        cmocka_unit_test(a_peer_that_leaves),
        cmocka_unit_test(nonsense),
        cmocka_unit_test(a_second_daemon_is_told),
        cmocka_unit_test(a_stale_socket_is_replaced),
        cmocka_unit_test(what_is_in_the_way_stays),
        cmocka_unit_test(the_next_request_comes_from_the_loop),
        cmocka_unit_test(many_lines_at_once),
        cmocka_unit_test(an_answer_in_pieces_holds_nobody_up),
        cmocka_unit_test(pieces_for_a_slow_reader),
        cmocka_unit_test(pieces_for_one_who_says_no_more),
        cmocka_unit_test(a_slow_reader),
        cmocka_unit_test(an_answer_that_no_client_takes),
        cmocka_unit_test(what_is_not_text_is_left_out),
    };
    snprintf(path, sizeof(path), "/tmp/dovetail-control-%d.sock", (int)getpid());
    return TEST_RUN(tests);
}
