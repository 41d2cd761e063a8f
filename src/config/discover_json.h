/* Proxies and the steps of their intersection as JSON: what `dovetail discover` prints and dovetaild answers. */
#ifndef DT_CONFIG_DISCOVER_JSON_H
#define DT_CONFIG_DISCOVER_JSON_H

#include <jansson.h>

#include "ted/intersect.h"

/* {version, src, src_mask, dst, dst_mask, protocol, protocol_number, sport, dport, text}: addresses and masks as text,
 * ports as numbers; "any" for an open protocol or port. */
json_t *dt_discover_proxy_json(const struct dt_ted_proxy *p);
json_t *dt_discover_proxies_json(const struct dt_ted_proxy *p, size_t n);
/* [{figure, branch, field, values: {name: text...}, text}...] */
json_t *dt_discover_steps_json(const struct dt_ted_trace *t);

#endif
