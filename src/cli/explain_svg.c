/* The picture of `dovetail explain`: headers inside headers, and a bar with every byte. */
#include "cli/explain.h"

#define WIDTH   960
#define MARGIN  28
#define INSET_X 14 /* a layer stands this much inside the one around it */
#define TITLE_H 46
#define FOOT_H  12
#define CORE_H  58
#define BAR_H   30

static const char *const fills[] = {"#e8eef7", "#dbe7f3", "#e4f1ea", "#f6efdd", "#f5e6e0", "#ece4f2"};
static const char *const inks[] = {"#34568b", "#2a6f97", "#2d6a4f", "#8a6d1a", "#9b4a2f", "#6a4c93"};
#define COLOURS (sizeof fills / sizeof fills[0])

/* Text may hold a rule's name: anything. */
static void svg_escaped(FILE *out, const char *s)
{
    for (; *s; s++)
        switch (*s) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            if ((unsigned char)*s >= 0x20)
                fputc(*s, out);
        }
}

static void layer_addresses(const struct explain *e, unsigned i, char *out, size_t cap)
{
    struct dt_flow at = e->flow;
    if (i < e->n && e->layer[i].action->kind == DT_RULE_TUNNEL)
        at = dt_plan_next_flow(&e->flow, &e->layer[i].action->peer);
    char src[DT_ADDR_STRLEN], dst[DT_ADDR_STRLEN];
    dt_addr_str(src, &at.src);
    snprintf(out, cap, "%s \xe2\x86\x92 %s", dt_addr_is_any(&at.src) ? "(own address)" : src,
             dt_addr_str(dst, &at.dst));
}

static void layer(const struct explain *e, unsigned i, int y, int h, FILE *out)
{
    const struct explain_layer *l = &e->layer[i];
    bool tunnel = l->action->kind == DT_RULE_TUNNEL;
    int x = MARGIN + (int)i * INSET_X, w = WIDTH - 2 * x;
    char addr[2 * DT_ADDR_STRLEN + 16];
    layer_addresses(e, i, addr, sizeof addr);
    fprintf(out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\" fill=\"%s\" stroke=\"%s\"/>\n",
            x, y, w, h, fills[i % COLOURS], inks[i % COLOURS]);
    fprintf(out, "<text x=\"%d\" y=\"%d\" class=\"t\" fill=\"%s\">%u. %s \xc2\xb7 rule ", x + 12, y + 19,
            inks[i % COLOURS], i + 1, tunnel ? "tunnel" : "transport");
    svg_escaped(out, l->rule->name);
    fprintf(out, "</text>\n<text x=\"%d\" y=\"%d\" class=\"s\">", x + 12, y + 37);
    fprintf(out, "IP %s \xc2\xb7 %sESP", addr, l->rule->udp ? "UDP 4500 \xc2\xb7 " : "");
    fprintf(out, "</text>\n<text x=\"%d\" y=\"%d\" class=\"n\">", x + w - 12, y + 19);
    fprintf(out, "+%u to %u bytes, %u inside", dt_overhead_least(&l->cost), dt_overhead_most(&l->cost),
            l->mtu);
    fprintf(out, "</text>\n<text x=\"%d\" y=\"%d\" class=\"n\">", x + w - 12, y + 37);
    if (l->cost.ip)
        fprintf(out, "IP %u \xc2\xb7 ", l->cost.ip);
    if (l->cost.udp)
        fprintf(out, "UDP %u \xc2\xb7 ", l->cost.udp);
    fprintf(out, "ESP %u \xc2\xb7 IV %u \xc2\xb7 trailer %u+ \xc2\xb7 ICV %u</text>\n", l->cost.esp,
            l->cost.iv, l->cost.tail, l->cost.icv);
}

/* The packet itself. */
static void core(const struct explain *e, int y, FILE *out)
{
    int x = MARGIN + (int)e->n * INSET_X, w = WIDTH - 2 * x;
    char addr[2 * DT_ADDR_STRLEN + 16], proto[8];
    bool transport = e->n && e->layer[e->n - 1].action->kind == DT_RULE_TRANSPORT;
    layer_addresses(e, e->n, addr, sizeof addr);
    fprintf(
        out,
        "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\" fill=\"#ffffff\" stroke=\"#444444\"/>\n",
        x, y, w, CORE_H);
    fprintf(out, "<text x=\"%d\" y=\"%d\" class=\"t\" fill=\"#222222\">the packet</text>\n", x + 12, y + 22);
    fprintf(out, "<text x=\"%d\" y=\"%d\" class=\"s\">", x + 12, y + 42);
    if (!transport)
        fprintf(out, "IP %s \xc2\xb7 ", addr);
    fputs(e->flow.proto ? dt_proto_str(proto, e->flow.proto) : "payload", out);
    if (e->flow.ports)
        fprintf(out, " %u \xe2\x86\x92 %u", e->flow.sport, e->flow.dport);
    fprintf(out, "</text>\n<text x=\"%d\" y=\"%d\" class=\"n\">at most %u bytes</text>\n", x + w - 12, y + 22,
            e->mtu);
    if (transport)
        fprintf(out, "<text x=\"%d\" y=\"%d\" class=\"n\">its IP header stands outside the last ESP</text>\n",
                x + w - 12, y + 42);
}

/* A full packet of the link, to scale: what each layer puts before and behind the rest. */
static void draw_bar(const struct explain *e, int y, FILE *out)
{
    double scale = (double)(WIDTH - 2 * MARGIN) / e->link_mtu;
    uint32_t left = 0, right = 0, size = e->link_mtu;
    for (unsigned i = 0; i <= e->n; i++) {
        const char *fill = i < e->n ? fills[i % COLOURS] : "#ffffff",
                   *ink = i < e->n ? inks[i % COLOURS] : "#444444";
        double x = MARGIN + left * scale, w = (size - left - right) * scale;
        fprintf(out,
                "<rect x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"%d\" fill=\"%s\" stroke=\"%s\" "
                "stroke-width=\"0.7\"/>\n",
                x, y, w, BAR_H, fill, ink);
        if (i == e->n)
            fprintf(out, "<text x=\"%.2f\" y=\"%d\" class=\"c\">%u of %u bytes are the packet's own</text>\n",
                    x + w / 2, y + 20, e->mtu, e->link_mtu);
        else {
            const struct dt_overhead *c = &e->layer[i].cost;
            uint32_t front = c->ip + c->udp + c->esp + c->iv, outer = size - left - right;
            left += front;
            right += outer - e->layer[i].mtu - front;
        }
    }
}

void dt_explain_svg(const struct explain *e, FILE *out)
{
    char flow[DT_FLOW_STRLEN];
    int top = 64, h = (int)e->n * (TITLE_H + FOOT_H) + CORE_H, height = top + h + 24 + BAR_H + 52;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
            "role=\"img\" style=\"max-width:100%%;height:auto\">\n"
            "<style>text{font-family:system-ui,'DejaVu Sans',sans-serif}.h{font-size:17px;font-weight:600}"
            ".t{font-size:14px;font-weight:600}.s{font-size:12.5px;fill:#333}"
            ".n{font-size:12.5px;fill:#555;text-anchor:end}.c{font-size:12.5px;fill:#333;text-anchor:middle}<"
            "/style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n<text x=\"%d\" y=\"30\" class=\"h\">",
            WIDTH, height, WIDTH, height, MARGIN);
    svg_escaped(out, dt_flow_str(flow, &e->flow));
    fprintf(out, "</text>\n<text x=\"%d\" y=\"50\" class=\"s\">", MARGIN);
    svg_escaped(out, e->file);
    fprintf(out,
            e->n ? " \xc2\xb7 %u layers, %s, built from the outside in</text>\n"
                 : " \xc2\xb7 no rule matches: it goes out as it is</text>\n",
            e->n, e->suite_name);
    for (unsigned i = 0; i < e->n; i++)
        layer(e, i, top + (int)i * TITLE_H, h - (int)i * (TITLE_H + FOOT_H), out);
    core(e, top + (int)e->n * TITLE_H, out);
    draw_bar(e, top + h + 24, out);
    fprintf(out,
            "<text x=\"%d\" y=\"%d\" class=\"s\">a full packet of the link, to scale: %u bytes are "
            "overhead</text>\n",
            MARGIN, top + h + 24 + BAR_H + 22, e->link_mtu - e->mtu);
    fputs("</svg>\n", out);
}
