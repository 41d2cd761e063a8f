#include "sim/world/note.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"

void sim_notes_free(struct sim_notes *notes)
{
    free(notes->v);
    *notes = (struct sim_notes){0};
}

struct sim_note *sim_note_add(struct sim_notes *notes, dt_time at, enum sim_note_kind kind, uint32_t a,
                              uint32_t b)
{
    if (!notes)
        return NULL;
    if (notes->n == notes->cap) {
        size_t cap = notes->cap ? notes->cap * 2 : 1024;
        struct sim_note *v = cap > 2 * SIM_NOTES_MAX ? NULL : realloc(notes->v, cap * sizeof *v);
        if (!v) {
            notes->missing++;
            return NULL;
        }
        notes->v = v;
        notes->cap = cap;
    }
    struct sim_note *n = &notes->v[notes->n++];
    *n = (struct sim_note){.at = at, .until = at, .kind = (uint8_t)kind, .a = a, .b = b};
    return n;
}

void sim_note_packet(struct sim_notes *notes, dt_time at, dt_time until, uint32_t from, uint32_t to,
                     const struct sim_packet *p)
{
    struct sim_note *n = notes->packets ? sim_note_add(notes, at, SIM_NOTE_PACKET, from, to) : NULL;
    if (!n)
        return;
    char label[SIM_LABEL_LEN];
    n->until = until;
    n->proto = p->proto;
    n->load = p->ghost.load;
    n->spi_out = p->ghost.spi;
    snprintf(n->text, sizeof n->text, "%s", sim_packet_label(label, p));
}

void sim_note_say(struct sim_notes *notes, dt_time at, uint32_t node, const char *fmt, ...)
{
    struct sim_note *n = sim_note_add(notes, at, SIM_NOTE_SAY, node, node);
    if (!n)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(n->text, sizeof n->text, fmt, ap);
    va_end(ap);
}

static const char *exchange(uint8_t type)
{
    switch (type) { /* RFC 7296 section 3.1 */
    case 34:
        return "IKE_SA_INIT";
    case 35:
        return "IKE_AUTH";
    case 36:
        return "CREATE_CHILD";
    case 37:
        return "INFORMATIONAL";
    default:
        return "IKE";
    }
}

char *sim_packet_label(char out[SIM_LABEL_LEN], const struct sim_packet *p)
{
    static const char *const load[] = {"", " data", " ping", " pong"};
    const uint8_t *ike =
        p->proto == SIM_UDP && p->len > 4 && !dt_get_be32(p->bytes) ? p->bytes + 4 : p->bytes;
    if (p->proto == SIM_ESP || (p->proto == SIM_UDP && ike == p->bytes))
        snprintf(out, SIM_LABEL_LEN, "%08x%s", p->ghost.spi, load[p->ghost.load & 3]);
    else if (p->len < 28)
        snprintf(out, SIM_LABEL_LEN, "IKE");
    else
        snprintf(out, SIM_LABEL_LEN, "%s%s", exchange(ike[18]), ike[19] & 0x20 ? " reply" : "");
    return out;
}
