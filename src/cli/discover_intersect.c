/* discover --intersect: the intersection (US 7,207,063 FIG. 3) on paper, without network or daemon. */
#include "cli/discover.h"
#include "ted/ted.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct side {
    size_t n;
    struct dt_ted_proxy proxy[DT_TED_MAX_PROXIES];
    bool open[DT_TED_MAX_PROXIES]; /* "any any ...": of either IP version */
};

/* The text up to the next comma or line end. NULL at the end. */
static char *next_part(char **at)
{
    char *part = *at + strspn(*at, ", \t\n;");
    if (!*part)
        return NULL;
    size_t len = strcspn(part, ",;\n");
    *at = part + len;
    if (**at)
        *(*at)++ = 0;
    return part;
}

static bool both_open(const char *text)
{
    if (strncasecmp(text, "any", 3) || !isspace((unsigned char)text[3]))
        return false;
    text += 3 + strspn(text + 3, " \t");
    return !strncasecmp(text, "any", 3) && (!text[3] || isspace((unsigned char)text[3]));
}

/* 0, or the exit status, everything said. */
static int add_side(struct dt_cli *cli, struct side *s, const char *whose, const char *arg)
{
    char *copy = strdup(arg), *at = copy, *part;
    size_t before = s->n;
    int rc = 0;
    while (copy && !rc && (part = next_part(&at))) {
        struct dt_err err = {0};
        if (s->n == DT_TED_MAX_PROXIES)
            rc = dt_cli_error(cli, DT_CLI_USAGE, NULL, "the %s has more than %d proxies", whose,
                              DT_TED_MAX_PROXIES);
        else if (dt_ted_proxy_parse(&s->proxy[s->n], part, &err))
            rc = dt_cli_error(cli, DT_CLI_USAGE, NULL, "the %s's proxy \"%.80s\": %s", whose, part, err.text);
        else
            s->open[s->n++] = both_open(part);
    }
    if (!rc && s->n == before)
        rc = dt_cli_error(cli, DT_CLI_USAGE, NULL,
                          "the %s's proxy is empty; SRC/MASK DST/MASK [PROTO [SPORT DPORT]] would be right",
                          whose);
    free(copy);
    return rc;
}

/* What is open takes the version of the other side, where that has only one. */
static void adapt(struct side *s, const struct side *other)
{
    for (size_t i = 0; i < s->n; i++) {
        if (!s->open[i])
            continue;
        bool six = other->n > 0;
        for (size_t k = 0; k < other->n; k++)
            six &= other->proxy[k].ver == 6 && !other->open[k];
        if (six)
            s->proxy[i].ver = s->proxy[i].src.ver = s->proxy[i].src_mask.ver = s->proxy[i].dst.ver =
                s->proxy[i].dst_mask.ver = 6;
    }
}

static json_t *pairs_json(const struct side *a, const struct side *b)
{
    json_t *pairs = json_array();
    for (size_t i = 0; i < a->n; i++)
        for (size_t k = 0; k < b->n; k++) {
            struct dt_ted_proxy r;
            struct dt_ted_trace t;
            char x[DT_TED_PROXY_STRLEN], y[DT_TED_PROXY_STRLEN];
            bool met = dt_ted_intersect(&r, &a->proxy[i], &b->proxy[k], &t);
            json_array_append_new(pairs, json_pack("{s:s, s:s, s:o, s:o}", "initiator",
                                                   dt_ted_proxy_str(x, &a->proxy[i]), "responder",
                                                   dt_ted_proxy_str(y, &b->proxy[k]), "result",
                                                   met ? dt_discover_proxy_json(&r) : json_null(), "steps",
                                                   dt_discover_steps_json(&t)));
        }
    return pairs;
}

void dt_cli_proxies_print(FILE *out, const char *title, const json_t *list)
{
    size_t i;
    json_t *p;
    json_array_foreach(list, i, p) fprintf(out, "%-10s %s\n", i ? "" : title, dt_cli_str(p, "text"));
}

static void print_intersection(struct dt_cli *cli, const json_t *v)
{
    const json_t *pairs = json_object_get(v, "pairs"), *result = json_object_get(v, "result");
    size_t i;
    json_t *p;
    dt_cli_proxies_print(cli->out, "initiator", json_object_get(v, "initiator"));
    dt_cli_proxies_print(cli->out, "responder", json_object_get(v, "responder"));
    if (json_array_size(pairs) > 1) {
        fprintf(cli->out, "\n%zu pairs of proxies:\n", json_array_size(pairs));
        json_array_foreach(pairs, i, p)
        {
            const char *r = dt_cli_str(json_object_get(p, "result"), "text");
            fprintf(cli->out, "  %s  with  %s:  %s\n", dt_cli_str(p, "initiator"), dt_cli_str(p, "responder"),
                    *r ? r : "nothing");
        }
        fputs(json_is_object(result) ? "the widest:\n" : "the pair that came furthest:\n", cli->out);
    } else {
        fputc('\n', cli->out);
    }
    dt_cli_steps_print(cli->out, json_object_get(v, "steps"));
    if (json_is_object(result))
        fprintf(cli->out, "\nintersection %s\n", dt_cli_str(result, "text"));
}

int dt_cli_intersect(struct dt_cli *cli, int argc, char **argv, bool responder_view)
{
    struct side a = {0}, b = {0};
    struct dt_ted_proxy r;
    struct dt_ted_trace t = {0};
    if (argc < 3 || argc % 2 == 0)
        return dt_cli_usage(
            cli,
            "--intersect takes two proxies, the initiator's and the responder's (or more such pairs), "
            "not %d",
            argc - 1);
    for (int i = 1; i < argc; i++) {
        int rc = add_side(cli, i % 2 ? &a : &b, i % 2 ? "initiator" : "responder", argv[i]);
        if (rc)
            return rc;
    }
    adapt(&a, &b);
    adapt(&b, &a);
    for (size_t i = 0; responder_view && i < b.n; i++)
        b.proxy[i] = dt_ted_proxy_flip(&b.proxy[i]);
    bool met = dt_ted_intersect_lists(&r, a.proxy, a.n, b.proxy, b.n, NULL, &t);
    json_t *v = json_pack("{s:o, s:o, s:o, s:o, s:o}", "initiator", dt_discover_proxies_json(a.proxy, a.n),
                          "responder", dt_discover_proxies_json(b.proxy, b.n), "result",
                          met ? dt_discover_proxy_json(&r) : json_null(), "steps", dt_discover_steps_json(&t),
                          "pairs", pairs_json(&a, &b));
    const struct dt_ted_step *last = t.count ? &t.step[t.count - 1] : NULL;
    if (!met && last)
        json_object_set_new(v, "why", json_sprintf("%s: %s", last->field, last->values));
    if (cli->json)
        dt_cli_json(cli, v);
    else
        print_intersection(cli, v);
    json_decref(v);
    if (!met && last)
        fprintf(cli->err, "dovetail discover: no intersection: %s: %s\n", last->field, last->values);
    return met ? DT_CLI_DONE : DT_CLI_FAILED;
}
