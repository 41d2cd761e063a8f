/* Runs a fuzz target once over each file that it is given, and over each file of each folder, without libFuzzer, so that every
 * compiler and every test run sees the corpus. The first argument is the target's name. Speaks TAP. */
#include "fuzz/fuzz.h"
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static unsigned inputs;

static void stop(const char *path)
{
    perror(path);
    exit(1);
}

static void run_file(const char *path, off_t size)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc(size > 0 ? (size_t)size : 1); /* exactly as long as the input, for the sanitizer */
    if (!f || !data || fread(data, 1, (size_t)size, f) != (size_t)size)
        stop(path);
    fclose(f);
    fprintf(stderr, "# %s\n", path); /* the last line before a crash */
    LLVMFuzzerTestOneInput(data, (size_t)size);
    inputs++;
    free(data);
}

static int not_hidden(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static void run(const char *path)
{
    struct stat st;
    if (stat(path, &st))
        stop(path);
    if (!S_ISDIR(st.st_mode)) {
        run_file(path, st.st_size);
        return;
    }
    struct dirent **list;
    int n = scandir(path, &list, not_hidden, alphasort);
    if (n < 0)
        stop(path);
    for (int i = 0; i < n; i++) {
        char below[4096];
        snprintf(below, sizeof below, "%s/%s", path, list[i]->d_name);
        run(below);
        free(list[i]);
    }
    free(list);
}

int main(int argc, char **argv)
{
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    printf("1..1\n");
    for (int i = 2; i < argc; i++)
        run(argv[i]);
    printf("%s 1 - %s: %u inputs\n", inputs ? "ok" : "not ok", argc > 1 ? argv[1] : "?", inputs);
    return inputs ? 0 : 1;
}
