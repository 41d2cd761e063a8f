/* What a daemon that somebody has taken over may say to its keeper: taken only when it is whole and within bounds. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "keeper/message.h"

static void whole(const struct keeper_request *r, size_t len)
{
    char text[DT_HOST_FACT_STRLEN];
    if (len != keeper_request_len(r) || r->what < KEEPER_LOAD || r->what > KEEPER_DISMISS)
        abort();
    if (r->what == KEEPER_SETUP && (strnlen(r->u.setup.device, sizeof(r->u.setup.device)) >= 16 ||
                                    strchr(r->u.setup.device, '/') != NULL || r->u.setup.socket[0] != '/' ||
                                    r->u.setup.queues > KEEPER_FDS_MAX))
        abort();
    for (uint32_t i = 0; r->what == KEEPER_FACTS && i < r->n; i++)
        if (i >= KEEPER_FACTS_EACH || strlen(dt_host_fact_str(text, &r->u.fact[i])) >= sizeof(text))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct keeper_request r;
    static struct keeper_file_request f;
    if (len <= sizeof(r)) {
        memset(&r, 0, sizeof(r));
        memcpy(&r, data, len);
        if (keeper_request_ok(&r, len))
            whole(&r, len);
    }
    if (len <= sizeof(f)) {
        memset(&f, 0xff, sizeof(f));
        memcpy(&f, data, len);
        if (keeper_file_request_ok(&f, len) && f.path[len - offsetof(struct keeper_file_request, path) - 1] != '\0')
            abort();
    }
    return 0;
}
