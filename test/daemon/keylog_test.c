/* Key logs are for Wireshark: a line that it cannot read keeps it from reading the others. */

#include <sys/stat.h>
#include <unistd.h>

#include "support/test.h"

#include "daemon/keylog.h"

static const struct dt_suite suites[] = {
    {DT_ENCR_AES_GCM_16, 128, 0},
    {DT_ENCR_AES_GCM_16, 256, 0},
    {DT_ENCR_CHACHA20_POLY1305, 0, 0},
    {DT_ENCR_AES_CBC, 128, DT_INTEG_HMAC_SHA2_256_128},
    {DT_ENCR_AES_CBC, 256, DT_INTEG_HMAC_SHA2_384_192},
    {DT_ENCR_AES_CBC, 256, DT_INTEG_HMAC_SHA2_512_256},
};

static void write_lines(FILE *f, const struct dt_suite *suite)
{
    static const uint8_t key[DT_KEY_MAX] = {1, 2, 3};
    struct dt_endpoint_sa sa = {
        .suite = *suite, .spi_in = 0x1000, .spi_out = 0x2000, .key_in = key, .key_out = key};
    assert_int_equal(dt_addr_parse(&sa.path.local.addr, "192.0.2.1"), 0);
    assert_int_equal(dt_addr_parse(&sa.path.remote.addr, "192.0.2.2"), 0);
    keylog_lines(f, &sa);
}

static void what_wireshark_does_not_know_is_a_comment(void **state)
{
    for (size_t i = 0; i < DT_ARRAY_LEN(suites); i++) {
        char text[2000] = "";
        FILE *f = fmemopen(text, sizeof(text), "w");
        assert_non_null(f);
        write_lines(f, &suites[i]);
        fclose(f);
        const char *begin = suites[i].encr == DT_ENCR_CHACHA20_POLY1305 ? "# \"IPv4\"" : "\"IPv4\"";
        char *second = strchr(text, '\n');
        assert_non_null(second);
        assert_int_equal(strncmp(text, begin, strlen(begin)), 0);
        assert_int_equal(strncmp(second + 1, begin, strlen(begin)), 0);
    }
}

/* Asked itself, about a table with all suites and an empty capture. */
static void wireshark_reads_the_table(void **state)
{
    static const uint8_t pcap[24] = {0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, [16] = 0xff, 0xff, [20] = 1};
    char dir[] = "/tmp/dovetail-keylog-XXXXXX", path[64], command[300], said[2000];
    if (system("command -v tshark >/dev/null") != 0) { // NOLINT(bugprone-command-processor,cert-env33-c)
        printf("# there is no tshark here\n");
        skip();
    }
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/esp_sa", dir);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    for (size_t i = 0; i < DT_ARRAY_LEN(suites); i++)
        write_lines(f, &suites[i]);
    fclose(f);
    snprintf(path, sizeof(path), "%s/empty.pcap", dir);
    f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(pcap, sizeof(pcap), 1, f), 1);
    fclose(f);
    snprintf(command, sizeof(command), "WIRESHARK_CONFIG_DIR=%s tshark -r %s 2>&1", dir, path);
    f = popen(command, "r"); // NOLINT(bugprone-command-processor,cert-env33-c)
    assert_non_null(f);
    size_t n = fread(said, 1, sizeof(said) - 1, f);
    said[n] = '\0';
    int rc = pclose(f);
    snprintf(command, sizeof(command), "%s/esp_sa", dir);
    unlink(command);
    unlink(path);
    rmdir(dir);
    if (rc != 0 || strstr(said, "Error loading"))
        fail_msg("%s", said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_wireshark_does_not_know_is_a_comment),
        cmocka_unit_test(wireshark_reads_the_table),
    };
    return TEST_RUN(tests);
}
