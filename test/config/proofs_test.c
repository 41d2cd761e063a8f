/* Certificates in the configuration: what is read, what is wrong, by line, and what a reload sees. */
#include "support/certs.h"

#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"

static char dir[] = "/tmp/dovetail-proofs-XXXXXX";
static struct cert root, other, gate, anna, old;

static void put(const char *name, const char *text, mode_t mode)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static void host(struct cert *out, const char *name, int64_t from, int64_t until)
{
    struct dt_x509_draft d = cert_draft(name, &root);
    d.n = 1;
    d.name[0].text = name;
    d.name[0].kind = strchr(name, '@') ? DT_X509_EMAIL : DT_X509_DNS;
    d.purposes = DT_X509_FOR_SERVER | DT_X509_FOR_CLIENT;
    d.from = from;
    d.until = until;
    cert_issue(out, &d);
}

static int setup(void **state)
{
    int64_t now = (int64_t)time(NULL);
    struct dt_x509_draft d = cert_draft("Root", NULL);
    d.ca = true;
    d.from = now - CERTS_YEAR;
    d.until = now + CERTS_YEAR;
    cert_issue(&root, &d);
    d.cn = "Other";
    d.key = NULL;
    cert_issue(&other, &d);
    host(&gate, "vpn.example.net", now - CERTS_YEAR, now + CERTS_YEAR / 2);
    host(&anna, "anna@example.net", now - CERTS_YEAR, now + CERTS_YEAR / 2);
    host(&old, "anna@example.net", now - CERTS_YEAR, now - CERTS_DAY);
    assert_non_null(mkdtemp(dir));
    put("ca", root.a.cert.p, 0644);
    put("other", other.a.cert.p, 0644);
    put("gate.crt", gate.a.cert.p, 0644);
    put("gate.key", gate.key.p, 0600);
    put("anna.crt", anna.a.cert.p, 0644);
    put("anna.key", anna.key.p, 0600);
    put("old.crt", old.a.cert.p, 0644);
    put("old.key", old.key.p, 0600);
    put("open.key", anna.key.p, 0644);
    put("open", root.a.cert.p, 0666);
    put("empty", "", 0644);
    put("words", "no certificate\n", 0644);
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"ca",       "other",   "gate.crt", "gate.key", "anna.crt",
                                        "anna.key", "old.crt", "old.key",  "open.key", "open",
                                        "empty",    "words",   "crl",      "link"};
    char path[256];
    for (size_t i = 0; i < DT_ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
    struct cert *const all[] = {&root, &other, &gate, &anna, &old};
    for (size_t i = 0; i < DT_ARRAY_LEN(all); i++)
        cert_free(all[i]);
    return 0;
}

/* "@name" in the text becomes "file:/tmp/.../name". */
static int parse(struct dt_config *c, const char *text)
{
    char full[8192] = "";
    for (const char *p = text; *p; p++) {
        size_t at = strlen(full);
        assert_true(at + 100 < sizeof(full));
        if (*p == '@' && p[1] == '/') {
            snprintf(full + at, sizeof(full) - at, "file:%s", dir);
        } else {
            full[at] = *p;
            full[at + 1] = '\0';
        }
    }
    return dt_config_parse(c, full, strlen(full), "test.conf", 0);
}

#define TUNNEL(rest)                                                                                         \
    "tunnel \"t\" { gateway = 192.0.2.1 remote = vpn.example.net protect = 10.0.0.0/8\nlocal = "             \
    "\"anna@example.net\"\n" rest "}\n"
#define GATEWAY(rest)                                                                                        \
    "gateway \"g\" { identity = vpn.example.net protect = 10.1.0.0/16 pool = 10.9.0.0/24\ncertificate = "    \
    "\"@/gate.crt\"\n"                                                                                       \
    "private_key = \"@/gate.key\"\nca = \"@/ca\"\n" rest "}\n"

static void complains(const char *text, bool warning, unsigned line, const char *what)
{
    struct dt_config c;
    bool found = false;
    assert_int_equal(parse(&c, text), warning ? 0 : -1);
    for (size_t i = 0; i < c.nissue; i++)
        found |= c.issue[i].warning == warning && c.issue[i].line == line && strstr(c.issue[i].text, what);
    if (!found) {
        dt_config_print_issues(&c, stderr);
        fail_msg("wanted line %u \"%s\"", line, what);
    }
    dt_config_free(&c);
}

static void clean(struct dt_config *c, const char *text)
{
    if (parse(c, text) != 0 || c->warnings > 0) {
        dt_config_print_issues(c, stderr);
        fail();
    }
}

static void it_is_read(void **state)
{
    struct dt_config c;
    clean(
        &c,
        TUNNEL("certificate = \"@/anna.crt\"\nprivate_key = \"@/anna.key\"\nca = { \"@/ca\", \"@/other\" }\n")
            GATEWAY(""));
    assert_non_null(c.tunnel[0].cfg.proofs.own);
    assert_int_equal(dt_x509_trust_count(c.tunnel[0].cfg.proofs.trust), 2);
    assert_non_null(c.gateway[0].cfg.proofs.own);
    assert_int_equal(dt_x509_trust_count(c.gateway[0].cfg.proofs.trust), 1);
    assert_false(c.gateway[0].cfg.proofs.own_always);
    dt_config_free(&c);
    /* The gateway by certificate, and we by pre-shared key. */
    assert_int_equal(parse(&c, TUNNEL("psk = \"0x00112233445566778899\"\nca = \"@/ca\"\n")), 0);
    assert_null(c.tunnel[0].cfg.proofs.own);
    assert_non_null(c.tunnel[0].cfg.proofs.trust);
    dt_config_free(&c);
}

/* A thousand tunnels to one company read its files once, and share what came of it. */
static void files_are_read_once(void **state)
{
    struct dt_config c;
    char text[4096] = "";
    for (int i = 0; i < 5; i++) {
        size_t at = strlen(text);
        snprintf(
            text + at, sizeof(text) - at,
            "tunnel \"t%d\" { gateway = 192.0.2.%d remote = vpn.example.net protect = 10.%d.0.0/16 local = "
            "\"anna@example.net\" certificate = \"@/anna.crt\" private_key = \"@/anna.key\" ca = \"@/ca\" "
            "}\n",
            i, i + 1, i);
    }
    clean(&c, text);
    for (size_t i = 1; i < c.ntunnel; i++) {
        assert_ptr_equal(c.tunnel[i].cfg.proofs.own, c.tunnel[0].cfg.proofs.own);
        assert_ptr_equal(c.tunnel[i].cfg.proofs.trust, c.tunnel[0].cfg.proofs.trust);
    }
    dt_config_free(&c);
}

static void what_is_wrong_has_its_line(void **state)
{
    static const struct {
        const char *text;
        unsigned line;
        const char *what;
    } cases[] = {
        {TUNNEL(""), 1, "has neither psk nor certificate"},
        {TUNNEL("certificate = \"@/anna.crt\"\n"), 3, "certificate without private_key"},
        {TUNNEL("private_key = \"@/anna.key\"\n"), 3, "private_key without certificate"},
        {TUNNEL("certificate = \"@/anna.crt\"\nprivate_key = \"@/anna.key\"\n"), 3, "certificate without ca"},
        {TUNNEL("psk = x\ncertificate = \"@/anna.crt\"\nprivate_key = \"@/anna.key\"\nca = \"@/ca\"\n"), 3,
         "has psk and certificate"},
        {TUNNEL("certificate = anna.crt\nprivate_key = \"@/anna.key\"\nca = \"@/ca\"\n"), 3,
         "certificate = \"anna.crt\": \"file:/PATH\" would be right"},
        {TUNNEL("certificate = \"@/none\"\nprivate_key = \"@/anna.key\"\nca = \"@/ca\"\n"), 3,
         "/none: No such file"},
        {TUNNEL("certificate = \"@/words\"\nprivate_key = \"@/anna.key\"\nca = \"@/ca\"\n"), 3,
         "there is no certificate in it"},
        {TUNNEL("certificate = \"@/empty\"\nprivate_key = \"@/anna.key\"\nca = \"@/ca\"\n"), 3, "is empty"},
        {TUNNEL("certificate = \"@/anna.crt\"\nprivate_key = \"@/gate.key\"\nca = \"@/ca\"\n"), 3,
         "is not one of this private key"},
        {TUNNEL("certificate = \"@/anna.crt\"\nprivate_key = \"@/open.key\"\nca = \"@/ca\"\n"), 4,
         "chmod 600"},
        {TUNNEL("certificate = \"@/anna.crt\"\nprivate_key = \"@/anna.crt\"\nca = \"@/ca\"\n"), 4,
         "chmod 600"},
        {TUNNEL("certificate = \"@/gate.crt\"\nprivate_key = \"@/gate.key\"\nca = \"@/ca\"\n"), 3,
         "local is \"anna@example.net\", and the certificate is not for that: it is for DNS vpn.example.net"},
        {TUNNEL("certificate = \"@/anna.crt\"\nprivate_key = \"@/anna.key\"\nca = \"@/anna.crt\"\n"), 5,
         "is no authority's"},
        {TUNNEL("certificate = \"@/anna.crt\"\nprivate_key = \"@/anna.key\"\nca = \"@/open\"\n"), 5,
         "chmod go-w"},
        {TUNNEL("certificate = \"@/anna.crt\"\nprivate_key = \"@/anna.key\"\nca = \"@/ca\"\ncrl_file = "
                "\"@/ca\"\n"),
         6, "there is no CRL in it"},
        {TUNNEL("certificate = \"@/anna.crt\"\nprivate_key = \"@/anna.key\"\nca = \"@/ca\"\ncrl = hard\n"), 6,
         "crl = \"hard\": soft"},
        {TUNNEL("psk = \"0x00\"\ncrl = strict\n"), 4, "crl without ca"},
        {TUNNEL("psk = \"0x00\"\nrsa_sha1 = yes\n"), 4, "rsa_sha1 is about certificates"},
        {"tunnel \"t\" { gateway = 192.0.2.1 remote = \"keyid:x\" protect = 10.0.0.0/8\nlocal = "
         "\"anna@example.net\"\n"
         "certificate = \"@/anna.crt\"\nprivate_key = \"@/anna.key\"\nca = \"@/ca\" }\n",
         5, "no certificate proves remote = \"keyid:x\""},
        {"tunnel \"t\" { gateway = 192.0.2.1 remote = vpn.example.net protect = 10.0.0.0/8\nlocal = "
         "\"keyid:anna\"\n"
         "certificate = \"@/anna.crt\"\nprivate_key = \"@/anna.key\"\nca = \"@/ca\" }\n",
         3, "no certificate proves local = \"keyid:anna\""},
        {GATEWAY("psk = \"0x00\"\n"), 5, "psk beside ca: whoever knows psk could come as any client"},
        {GATEWAY("proof = always\n"), 5, "proof = \"always\": same"},
        {"gateway \"g\" { identity = vpn.example.net protect = 10.1.0.0/16 pool = 10.9.0.0/24\nca = \"@/ca\" "
         "}\n",
         2, "ca without certificate"},
        {"gateway \"g\" { identity = vpn.example.net protect = 10.1.0.0/16 pool = 10.9.0.0/24 psk = "
         "\"0x00\"\nproof = "
         "certificate }\n",
         2, "proof without certificate"},
        {"gateway \"g\" { identity = vpn.example.net protect = 10.1.0.0/16 pool = 10.9.0.0/24 psk = "
         "\"0x00\"\ncertificate = "
         "\"@/gate.crt\"\nprivate_key = \"@/gate.key\" }\n",
         2, "certificate without ca"},
        {GATEWAY("") "client \"a@example.net\" { auth = eap }\n", 6,
         "auth = \"eap\": psk, certificate or both"},
        {GATEWAY("") "client \"*@example.net\" { rsa_sha1 = yes }\n", 6, "is for one peer"},
    };
    for (size_t i = 0; i < DT_ARRAY_LEN(cases); i++)
        complains(cases[i].text, false, cases[i].line, cases[i].what);
}

static void what_will_be_wrong_is_warned_of(void **state)
{
    struct dt_x509_text crl;
    int64_t now = (int64_t)time(NULL);
    complains(TUNNEL("certificate = \"@/old.crt\"\nprivate_key = \"@/old.key\"\nca = \"@/ca\"\n"), true, 3,
              "it has expired: CN=anna@example.net, serial ");
    complains(
        TUNNEL("certificate = \"@/anna.crt\"\nprivate_key = \"@/anna.key\"\nca = \"@/ca\"\ncrl = strict\n"),
        true, 6, "crl = strict without crl_file");
    complains(
        TUNNEL("certificate = \"@/anna.crt\"\nprivate_key = \"@/anna.key\"\nca = \"@/ca\"\nrsa_sha1 = yes\n"),
        true, 6, "they can be forged at a price");
    complains(GATEWAY("") "client \"anna@example.net\" { rsa_sha1 = yes }\n", true, 6,
              "they can be forged at a price");
    assert_int_equal(dt_x509_crl(&root.a, NULL, 0, 1, now - 2 * CERTS_DAY, now - CERTS_DAY, &crl, NULL), 0);
    put("crl", crl.p, 0644);
    dt_x509_text_free(&crl);
    complains(GATEWAY("crl_file = \"@/crl\"\ncrl = strict\n"), true, 4,
              "with crl = strict its certificates are refused");
}

/* What a reload compares. */
static void what_files_say_is_part_of_it(void **state)
{
    static const char text[] =
        TUNNEL("certificate = \"@/anna.crt\"\nprivate_key = \"@/anna.key\"\nca = \"@/ca\"\n") GATEWAY("");
    struct dt_config a, b;
    clean(&a, text);
    clean(&b, text);
    assert_true(dt_config_tunnel_same(&a.tunnel[0], &b.tunnel[0]));
    assert_true(dt_config_gateway_same(&a.gateway[0], &b.gateway[0]));
    dt_config_free(&b);
    char both[16384];
    snprintf(both, sizeof(both), "%s%s", root.a.cert.p, other.a.cert.p);
    put("ca", both, 0644);
    clean(&b, text);
    assert_false(dt_config_tunnel_same(&a.tunnel[0], &b.tunnel[0]));
    assert_false(dt_config_gateway_same(&a.gateway[0], &b.gateway[0]));
    assert_true(dt_ike_proofs_alike(&a.tunnel[0].cfg.proofs, &b.tunnel[0].cfg.proofs));
    assert_false(dt_ike_proofs_eq(&a.tunnel[0].cfg.proofs, &b.tunnel[0].cfg.proofs));
    dt_config_free(&b);
    dt_config_free(&a);
    put("ca", root.a.cert.p, 0644);
}

static struct dt_ike_may may(const struct dt_config *c, const char *who)
{
    struct dt_ike_id id;
    assert_int_equal(dt_ike_id_parse(&id, who), 0);
    return dt_config_gateway_may(&c->gateway[0], &id);
}

static void who_may_prove_itself_how(void **state)
{
    struct dt_config c;
    int rc =
        parse(&c, GATEWAY("") "client \"a@example.net\" { psk = \"0x00112233445566778899\" }\n"
                              "client \"b@example.net\" { auth = certificate }\n"
                              "client \"c@example.net\" { auth = psk psk = \"0x00112233445566778899\" }\n"
                              "client \"d@example.net\" { rsa_sha1 = yes }\n"
                              "client \"*@example.org\" { psk = \"0x00112233445566778899\" }\n"
                              "client \"e@example.org\" { auth = { certificate } }\n");
    if (rc != 0)
        dt_config_print_issues(&c, stderr);
    assert_int_equal(rc, 0);
    assert_true(may(&c, "a@example.net").psk && may(&c, "a@example.net").certificate);
    assert_true(!may(&c, "b@example.net").psk && may(&c, "b@example.net").certificate);
    assert_true(may(&c, "c@example.net").psk && !may(&c, "c@example.net").certificate);
    assert_true(!may(&c, "d@example.net").psk && may(&c, "d@example.net").rsa_sha1);
    assert_true(!may(&c, "x@example.net").psk && may(&c, "x@example.net").certificate &&
                !may(&c, "x@example.net").rsa_sha1);
    assert_true(may(&c, "x@example.org").psk && may(&c, "x@example.org").certificate);
    assert_true(!may(&c, "e@example.org").psk && may(&c, "e@example.org").certificate);
    dt_config_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_read),
        cmocka_unit_test(files_are_read_once),
        cmocka_unit_test(what_is_wrong_has_its_line),
        cmocka_unit_test(what_will_be_wrong_is_warned_of),
        cmocka_unit_test(what_files_say_is_part_of_it),
        cmocka_unit_test(who_may_prove_itself_how),
    };
    return cmocka_run_group_tests_name(__FILE__, tests, setup, teardown);
}
