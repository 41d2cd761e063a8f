/* The configuration file: any bytes, without the files that it names. */
#include <stdlib.h>

#include "config/config.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_config c;
    char line[1024];
    int rc = dt_config_parse(&c, (const char *)data, size, "fuzz.conf", DT_CONFIG_NO_FILES);
    if ((rc == 0) != (c.errors == 0))
        abort();
    for (size_t i = 0; i < c.nissue; i++)
        dt_config_issue_str(line, sizeof(line), &c, &c.issue[i]);
    for (size_t i = 0; rc == 0 && i < c.ntunnel; i++)
        if (c.tunnel[i].nhost == 0 || c.tunnel[i].psk.len == 0 ||
            !dt_config_tunnel_same(&c.tunnel[i], &c.tunnel[i]))
            abort();
    dt_config_free(&c);
    return 0;
}
