/* Name servers and domains of the device: systemd-resolved keeps them for each link; where it is not, resolvconf does. resolv.conf
 * itself is nobody's but the resolver's. In a child: each program has its time, and nobody waits. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper/message.h"

#define RESOLVER_TIME 4 /* seconds that one program may take */
#define WORDS_MAX     (8 + DT_DOMAINS_CAP / 2)
#define ANSWER_CAP    2048

/* What a program said: all of it, or its last line. */
struct answer {
    char all[ANSWER_CAP], last[256];
};

static void keep_answer(void *user, const char *text)
{
    struct answer *a = user;
    size_t used = strlen(a->all);
    snprintf(a->all + used, sizeof(a->all) - used, "%s ", text);
    snprintf(a->last, sizeof(a->last), "%.255s", text);
}

/* 0, or -1 with *err: its last line, where it says anything. */
static int resolver(const char *const *argv, const char *input, struct answer *a, struct dt_err *err)
{
    static char path[4096];
    const char *from = getenv("PATH");
    snprintf(path, sizeof(path), "PATH=%s", from != NULL ? from : "/usr/sbin:/usr/bin:/sbin:/bin");
    const char *const envp[] = {path, "LC_ALL=C", "SYSTEMD_COLORS=0", NULL};
    struct keeper_program p = {
        .argv = argv, .envp = envp, .input = input, .seconds = RESOLVER_TIME, .line = keep_answer, .user = a};
    memset(a, 0, sizeof(*a));
    int rc = keeper_run(&p, err);
    if (rc > 0)
        dt_err_set(err, 0, "%s %s: %s", argv[0], argv[1],
                   a->last[0] != '\0' ? a->last : "it failed, and does not say why");
    return rc == 0 ? 0 : -1;
}

/* ---- systemd-resolved ---- */

/* The words of one command about the link, each with its own room. */
struct words {
    const char *argv[WORDS_MAX];
    size_t n;
    char text[DT_KEEPER_NAME_SERVERS][DT_ADDR_STRLEN], domains[DT_DOMAINS_CAP];
};

static void add_word(struct words *w, const char *text)
{
    if (w->n < WORDS_MAX - 1)
        w->argv[w->n++] = text;
}

static void add_servers(struct words *w, const struct dt_keeper_names *n)
{
    for (size_t i = 0; i < n->n; i++)
        add_word(w, dt_addr_str(w->text[i], &n->server[i]));
}

/* Names in them are asked there, and short names are looked for in them. */
static void add_domains(struct words *w, const struct dt_keeper_names *n)
{
    char *at = w->domains;
    memcpy(w->domains, n->domains, sizeof(w->domains));
    for (char *one; (one = strsep(&at, " ")) != NULL;)
        if (*one != '\0')
            add_word(w, one);
    if (n->all)
        add_word(w, "~.");
}

static void begin_words(struct words *w, const char *command, const char *device)
{
    memset(w, 0, sizeof(*w));
    add_word(w, "resolvectl");
    add_word(w, command);
    add_word(w, device);
}

/* Does `resolvectl dns LINK` say these words: "Link 5 (dovetail0): 10.1.0.53 10.1.0.54"? */
static bool says_the_same(const struct words *w, const struct answer *a)
{
    const char *at = strstr(a->all, "): ");
    at = at != NULL ? at + 3 : strchr(a->all, ':') != NULL ? strchr(a->all, ':') + 1 : a->all;
    for (size_t i = 3; i < w->n; i++) {
        size_t n = strlen(w->argv[i]);
        at += strspn(at, " ");
        if (strncmp(at, w->argv[i], n) != 0 || (at[n] != ' ' && at[n] != '\0'))
            return false;
        at += n;
    }
    return at[strspn(at, " ")] == '\0';
}

/* 1: it is as it is wanted. 0: it is not. */
static int look_at(const struct words *w)
{
    struct answer a;
    const char *const ask[] = {w->argv[0], w->argv[1], w->argv[2], NULL};
    return resolver(ask, NULL, &a, NULL) == 0 && says_the_same(w, &a);
}

static int set_resolved(const char *device, const struct dt_keeper_names *n, bool *stood, struct dt_err *err)
{
    struct words dns, domain;
    struct answer a;
    const char *const route[] = {"resolvectl", "default-route", device, n->all ? "yes" : "no", NULL};
    begin_words(&dns, "dns", device);
    add_servers(&dns, n);
    begin_words(&domain, "domain", device);
    add_domains(&domain, n);
    *stood = n->look && look_at(&dns) && look_at(&domain);
    if (*stood)
        return 0;
    if (domain.n == 3)
        add_word(&domain, "");
    /* Who is asked comes last: no name goes to these servers before it is known which do. */
    if (resolver(route, NULL, &a, err) != 0 || resolver(domain.argv, NULL, &a, err) != 0)
        return -1;
    return resolver(dns.argv, NULL, &a, err);
}

/* ---- resolvconf ---- */

/* Some systems call resolvectl by this name too. */
static bool resolvconf_found(void)
{
    char path[4096], real[PATH_MAX];
    if (!keeper_run_found("resolvconf", path, sizeof(path)))
        return false;
    const char *name = realpath(path, real) != NULL ? strrchr(real, '/') : NULL;
    return name == NULL || strcmp(name, "/resolvectl") != 0;
}

static bool is_openresolv(void)
{
    struct answer a;
    const char *const ask[] = {"resolvconf", "--version", NULL};
    return resolver(ask, NULL, &a, NULL) == 0 && strstr(a.all, "openresolv") != NULL;
}

static int unset_resolvconf(const char *device, struct dt_err *err)
{
    struct answer a;
    const char *const argv[] = {"resolvconf", "-d", device, NULL};
    return resolver(argv, NULL, &a, err);
}

static int set_resolvconf(const char *device, const struct dt_keeper_names *n, struct dt_err *err)
{
    const char *const first[] = {"resolvconf", "-a", device, "-m", "0", "-x", NULL}, *const apart[] = {
                                                                                         "resolvconf", "-a",
                                                                                         device, "-p", NULL};
    char text[DT_DOMAINS_CAP + 16 + DT_KEEPER_NAME_SERVERS * (DT_ADDR_STRLEN + 12)], addr[DT_ADDR_STRLEN];
    struct answer a;
    int len = 0;
    if (!n->all && (n->domains[0] == '\0' || !is_openresolv()))
        return dt_err_set(
            err, 0,
            "resolvconf cannot ask the tunnel's servers for some names alone; systemd-resolved, or "
            "openresolv and domains of the gateway, would be right");
    for (size_t i = 0; i < n->n; i++)
        len += snprintf(text + len, sizeof(text) - (size_t)len, "nameserver %s\n",
                        dt_addr_str(addr, &n->server[i]));
    if (n->domains[0] != '\0')
        snprintf(text + len, sizeof(text) - (size_t)len, "search %s\n", n->domains);
    return resolver(n->all ? first : apart, text, &a, err);
}

/* ---- either ---- */

static void take_back(int out, const char *device)
{
    struct dt_err err = {0};
    struct answer a;
    char path[4096];
    const char *const argv[] = {"resolvectl", "revert", device, NULL};
    if (keeper_run_found("resolvectl", path, sizeof(path)))
        resolver(argv, NULL, &a, &err);
    if (resolvconf_found())
        unset_resolvconf(device, &err);
    keeper_say(out, true, DT_KEEPER_TAKEN_BACK, err.text);
}

void keeper_names_apply(int out, const char *device, const struct dt_keeper_names *n)
{
    struct dt_err err = {0};
    char path[4096];
    bool stood = false, resolved = n->n > 0 && keeper_run_found("resolvectl", path, sizeof(path));
    if (n->n == 0) {
        take_back(out, device);
    } else if (resolved && set_resolved(device, n, &stood, &err) == 0) {
        keeper_say(out, true, DT_KEEPER_BY_RESOLVED + (n->look && !stood ? DT_KEEPER_SET_AGAIN : 0), "");
    } else if (resolvconf_found()) {
        int rc = set_resolvconf(device, n, &err);
        keeper_say(out, true, rc == 0 ? DT_KEEPER_BY_RESOLVCONF : -1, err.text);
    } else {
        keeper_say(out, true, -1,
                   resolved
                       ? err.text
                       : "this host has neither resolvectl (systemd-resolved) nor resolvconf; one of them "
                         "would be right");
    }
}
