#include "net/watch.h"

void dt_watch_on(uv_poll_t *p, int status, uv_poll_cb cb)
{
    if (status < 0 && !uv_is_closing((uv_handle_t *)p))
        uv_poll_start(p, UV_READABLE, cb);
}
