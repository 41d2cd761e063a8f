#include "config/discover_json.h"

static json_t *port_json(uint16_t port)
{
    return port ? json_integer(port) : json_string("any");
}

json_t *dt_discover_proxy_json(const struct dt_ted_proxy *p)
{
    char text[DT_TED_PROXY_STRLEN], src[DT_ADDR_STRLEN], sm[DT_ADDR_STRLEN], dst[DT_ADDR_STRLEN],
        dm[DT_ADDR_STRLEN], proto[8];
    return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:i, s:o, s:o, s:s}", "version", p->ver, "src",
                     dt_addr_str(src, &p->src), "src_mask", dt_addr_str(sm, &p->src_mask), "dst",
                     dt_addr_str(dst, &p->dst), "dst_mask", dt_addr_str(dm, &p->dst_mask), "protocol",
                     p->protocol ? dt_ted_protocol_name(p->protocol, proto) : "any", "protocol_number",
                     p->protocol, "sport", port_json(p->sport), "dport", port_json(p->dport), "text",
                     dt_ted_proxy_str(text, p));
}

json_t *dt_discover_steps_json(const struct dt_ted_trace *t)
{
    json_t *steps = json_array();
    for (size_t i = 0; i < t->count; i++) {
        const struct dt_ted_step *s = &t->step[i];
        json_t *values = json_object();
        for (size_t k = 0; k < s->count; k++)
            json_object_set_new(values, s->value[k].name, json_string(s->value[k].text));
        json_array_append_new(steps,
                              json_pack("{s:s, s:s, s:s, s:o, s:s}", "figure", s->figure, "branch", s->branch,
                                        "field", s->field, "values", values, "text", s->values));
    }
    return steps;
}

json_t *dt_discover_proxies_json(const struct dt_ted_proxy *p, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, dt_discover_proxy_json(&p[i]));
    return list;
}
