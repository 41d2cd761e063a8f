#include "esp/esp.h"

const char *dt_esp_verdict_name(enum dt_esp_verdict v)
{
    static const char *const name[DT_ESP_VERDICTS] = {"ok",     "dummy", "short", "align",       "spi",
                                                      "replay", "auth",  "pad",   "next_header", "exhausted"};
    return v < DT_ESP_VERDICTS ? name[v] : "?";
}
