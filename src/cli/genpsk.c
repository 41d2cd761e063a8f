/* genpsk: a new secret for one identity. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/rand.h"

#define SECRET 32                       /* octets */
#define TEXT   (4 * ((SECRET + 2) / 3)) /* as base64 */

static void write_base64(char out[TEXT + 2], const uint8_t in[SECRET])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t at = 0;
    for (size_t i = 0; i < SECRET; i += 3) {
        size_t n = SECRET - i < 3 ? SECRET - i : 3;
        uint32_t v = (uint32_t)in[i] << 16 | (n > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (n > 2 ? in[i + 2] : 0);
        for (size_t k = 0; k < 4; k++)
            out[at++] = k <= n ? digits[v >> (18 - 6 * k) & 63] : '=';
    }
    out[at++] = '\n';
    out[at] = '\0';
}

/* A new file that its owner alone may read; one that is there already is somebody's secret, and stays. */
static int write_file(struct dt_cli *cli, const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return dt_cli_error(cli, DT_CLI_FAILED, NULL, "%s is there already, and is left as it is", path);
    size_t n = strlen(text);
    bool ok = fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0 && close(fd) != 0 && ok) {
        why = errno;
        ok = false;
    }
    if (ok)
        return DT_CLI_DONE;
    if (fd >= 0)
        unlink(path);
    return dt_cli_error(cli, DT_CLI_FAILED, NULL, "%s cannot be written: %s", path, strerror(why));
}

static int genpsk_run(struct dt_cli *cli, int argc, char **argv)
{
    const char *path = NULL;
    uint8_t secret[SECRET];
    char text[TEXT + 2];
    argc = dt_cli_options(cli, argc, argv, &path);
    if (argc < 0)
        return DT_CLI_USAGE;
    if (argc > 1)
        return dt_cli_usage(cli, "no arguments are taken; --out FILE writes a file");
    struct dt_rand system = dt_rand_system();
    dt_rand_fill(&system, secret, sizeof(secret));
    write_base64(text, secret);
    int rc = DT_CLI_DONE;
    if (path != NULL) {
        rc = write_file(cli, path, text);
    } else if (cli->json) {
        text[TEXT] = '\0';
        json_t *v = json_pack("{s:s}", "secret", text);
        dt_cli_json(cli, v);
        json_decref(v);
    } else {
        fputs(text, cli->out);
    }
    dt_wipe(secret, sizeof(secret));
    dt_wipe(text, sizeof(text));
    return rc;
}

static const struct dt_usage_option options[] = {
    {"out", "FILE", "into a new file that its owner alone may read (mode 0600); nothing is printed", 0},
};

const struct dt_cli_command dt_cli_genpsk = {"genpsk",
                                             "[--out FILE]",
                                             "make a new secret",
                                             "Prints 32 random octets as base64, and nothing else: a "
                                             "pre-shared key for one identity, the same at both ends. A file "
                                             "that is there already is left as it is.\n",
                                             options,
                                             DT_ARRAY_LEN(options),
                                             "Example: dovetail genpsk --out /etc/dovetail/secrets/anna\n",
                                             genpsk_run};
