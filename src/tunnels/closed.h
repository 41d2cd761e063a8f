/* What is closed, and by whom. Control thread. */
#ifndef DT_TUNNELS_CLOSED_H
#define DT_TUNNELS_CLOSED_H

#include <jansson.h>
#include <stdbool.h>

struct daemon;
struct tun;
struct gate;

bool closed_by_tunnel(const struct tun *t); /* does it keep closed what it protects, now? */
bool closed_by_gate(const struct gate *g);
/* For `dovetail down`: of what the tunnel protects, what goes out in the clear now, and what else keeps the rest closed.
 * Adds "clear" and "closed" to o; the sentence goes to text. */
void closed_tell_down(struct daemon *d, const struct tun *t, json_t *o, char *text, size_t cap);
json_t *closed_tunnel_json(const struct tun *t); /* for status: the setting, and what is closed now */
json_t *closed_gate_json(const struct gate *g);

#endif
