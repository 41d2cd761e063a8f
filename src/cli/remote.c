#include "cli/cli.h"

#include "control/control.h"

void dt_cli_json(struct dt_cli *cli, const json_t *value)
{
    json_dumpf(value, cli->out, JSON_ENCODE_ANY | JSON_COMPACT);
    fputc('\n', cli->out);
    fflush(cli->out);
}

static const char *socket_of(const struct dt_cli *cli, const char *otherwise)
{
    return cli->socket != NULL ? cli->socket : otherwise;
}

int dt_cli_call(struct dt_cli *cli, const char *otherwise, const char *command, json_t *args, json_t **result)
{
    struct dt_err err = {0};
    int code = dt_control_call(socket_of(cli, otherwise), command, args, result, &err);
    if (code == 0)
        return DT_CLI_DONE;
    dt_cli_error(cli, code, *result, "%s", err.text);
    *result = NULL;
    return code;
}

int dt_cli_stream(struct dt_cli *cli, const char *otherwise, const char *command, json_t *args,
                  bool (*fn)(struct dt_cli *cli, void *arg, json_t *event), void *arg, json_t **result)
{
    struct dt_control_message m = {.code = 1};
    struct dt_control_client *c = dt_control_connect(socket_of(cli, otherwise), &m.err);
    *result = NULL;
    if (c == NULL) {
        json_decref(args);
        return dt_cli_error(cli, DT_CLI_FAILED, NULL, "%s", m.err.text);
    }
    if (dt_control_send(c, command, args, &m.err) == 0) {
        while (dt_control_next(c, -1, &m) == DT_CONTROL_EVENT) {
            bool more = fn(cli, arg, m.value);
            json_decref(m.value);
            m.value = NULL;
            if (!more)
                break;
        }
    }
    dt_control_disconnect(c);
    if (m.code != 0)
        return dt_cli_error(cli, m.code, m.value, "%s", m.err.text);
    *result = m.value;
    return DT_CLI_DONE;
}
