#include "io/tls_cert.h"
#include "base/buf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* RFC 5280, section 4.1.2.2: at most 20 bytes, positive. */
#define SERIAL_BYTES 16
/* One text of an extension: some 200 long names. */
#define EXTENSION_BYTES (64u << 10)

struct tls_cert {
	X509 *cert;    /* owned */
	EVP_PKEY *key; /* owned */
};

void tls_cert_free(struct tls_cert *c)
{
	if (!c)
		return;
	X509_free(c->cert);
	EVP_PKEY_free(c->key);
	free(c);
}

/* What no machine in the internet has: an authority may sign these always. */
static const char private_networks[] =
	",permitted;IP:127.0.0.0/255.0.0.0"
	",permitted;IP:10.0.0.0/255.0.0.0"
	",permitted;IP:172.16.0.0/255.240.0.0"
	",permitted;IP:192.168.0.0/255.255.0.0"
	",permitted;IP:169.254.0.0/255.255.0.0"
	",permitted;IP:100.64.0.0/255.192.0.0"
	",permitted;IP:0:0:0:0:0:0:0:1/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
	",permitted;IP:fc00:0:0:0:0:0:0:0/fe00:0:0:0:0:0:0:0"
	",permitted;IP:fe80:0:0:0:0:0:0:0/ffc0:0:0:0:0:0:0:0";

/* ---- making one ---- */

static int failed(struct err *e, const char *what)
{
	const char *why = ERR_reason_error_string(ERR_peek_error());
	ERR_clear_error();
	return err_set(e, ERR_SYSTEM, "%s: %s", what,
		       why ? why : "OpenSSL gives no reason");
}

static int family_of(const char *name)
{
	unsigned char address[16];
	if (inet_pton(AF_INET, name, address) == 1)
		return AF_INET;
	return inet_pton(AF_INET6, name, address) == 1 ? AF_INET6 : AF_UNSPEC;
}

/* These texts have a grammar, which a name must not speak. */
static bool is_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ.:-";
	return *name && strspn(name, allowed) == strlen(name);
}

/* "DNS:a,IP:b", or as an authority's limits. */
static int put_names(struct buf *out, const char *const *names, bool is_limit)
{
	for (; names && *names; names++) {
		int family = family_of(*names);
		const char *mask = family == AF_INET ? "/255.255.255.255"
				   : family == AF_INET6
					   ? "/ffff:ffff:ffff:ffff:ffff:ffff:"
					     "ffff:ffff"
					   : "";
		if (buf_printf(out, "%s%s%s:%s%s", out->n ? "," : "",
			       is_limit ? "permitted;" : "",
			       family == AF_UNSPEC ? "DNS" : "IP", *names,
			       is_limit ? mask : ""))
			return -1;
	}
	return 0;
}

static bool extend(X509 *cert, const X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, (X509 *)issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool is_done = x && X509_add_ext(cert, x, -1);
	X509_EXTENSION_free(x);
	return is_done;
}

static bool extend_all(X509 *cert, const struct tls_cert_wish *w)
{
	bool is_ca = !w->authority;
	const X509 *issuer = is_ca ? cert : w->authority->cert;
	auto_buf struct buf text;
	buf_init(&text, EXTENSION_BYTES);
	if (is_ca && buf_puts(&text, "critical"))
		return false;
	if (put_names(&text, is_ca ? w->may_sign : w->names, is_ca) ||
	    (is_ca && buf_puts(&text, private_networks)))
		return false;
	return extend(cert, issuer, NID_basic_constraints,
		      is_ca ? "critical,CA:TRUE,pathlen:0"
			    : "critical,CA:FALSE") &&
	       extend(cert, issuer, NID_key_usage,
		      is_ca ? "critical,keyCertSign,cRLSign"
			    : "critical,digitalSignature") &&
	       extend(cert, issuer, NID_ext_key_usage, "serverAuth") &&
	       extend(cert, issuer, NID_subject_key_identifier, "hash") &&
	       extend(cert, issuer, NID_authority_key_identifier,
		      "keyid:always") &&
	       extend(cert, issuer,
		      is_ca ? NID_name_constraints : NID_subject_alt_name,
		      text.p);
}

static bool set_serial(X509 *cert)
{
	unsigned char bytes[SERIAL_BYTES];
	if (RAND_bytes(bytes, sizeof bytes) != 1)
		return false;
	bytes[0] = (bytes[0] & 0x7f) | 0x40; /* positive, of full length */
	BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
	bool is_done = number &&
		       BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
	BN_free(number);
	return is_done;
}

static bool fill(X509 *cert, EVP_PKEY *key, const struct tls_cert_wish *w)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	time_t from = (time_t)w->from, until = (time_t)w->until;
	const unsigned char *title = (const unsigned char *)w->title;
	return X509_set_version(cert, X509_VERSION_3) && set_serial(cert) &&
	       X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, title,
					  -1, -1, 0) &&
	       X509_set_issuer_name(
		       cert, w->authority
				     ? X509_get_subject_name(w->authority->cert)
				     : subject) &&
	       X509_time_adj_ex(X509_getm_notBefore(cert), 0, 0, &from) &&
	       X509_time_adj_ex(X509_getm_notAfter(cert), 0, 0, &until) &&
	       X509_set_pubkey(cert, key) && extend_all(cert, w) &&
	       X509_sign(cert, w->authority ? w->authority->key : key,
			 EVP_sha256());
}

static int check_names(const char *const *names, struct err *e)
{
	for (; names && *names; names++)
		if (!is_name(*names))
			return err_set(e, ERR_INVALID,
				       "'%s' is no name that a certificate can "
				       "have",
				       *names);
	return 0;
}

int tls_cert_new(const struct tls_cert_wish *wish, struct tls_cert **out,
		 struct err *e)
{
	if (check_names(wish->names, e) || check_names(wish->may_sign, e))
		return -1;
	auto_(tls_cert) c = xcalloc(1, sizeof *c);
	ERR_clear_error();
	c->key = EVP_EC_gen("P-256");
	c->cert = X509_new();
	if (!c->key || !c->cert || !fill(c->cert, c->key, wish))
		return failed(e, "make a certificate");
	*out = steal(&c);
	return 0;
}

/* ---- files ---- */

/* Nobody is there to ask for a passphrase. */
static int no_passphrase(char *buf, int size, int is_writing, void *ctx)
{
	(void)buf;
	(void)size;
	(void)is_writing;
	(void)ctx;
	return -1;
}

int tls_cert_read(const char *cert_file, const char *key_file,
		  struct tls_cert **out, struct err *e)
{
	auto_(tls_cert) c = xcalloc(1, sizeof *c);
	ERR_clear_error();
	BIO *in = BIO_new_file(cert_file, "r");
	if (in)
		c->cert = PEM_read_bio_X509(in, NULL, no_passphrase, NULL);
	BIO_free(in);
	if (!c->cert)
		return failed(e, cert_file);
	in = BIO_new_file(key_file, "r");
	if (in)
		c->key = PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL);
	BIO_free(in);
	if (!c->key || X509_check_private_key(c->cert, c->key) != 1)
		return failed(e, key_file);
	*out = steal(&c);
	return 0;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(fd, p, n);
		if (done < 0)
			return -1;
		p += done;
		n -= (size_t)done;
	}
	return fsync(fd);
}

/* By way of another name, which a write that was cut may have left. */
static int put_file(int dir, const char *name, int mode, BIO *text,
		    struct err *e)
{
	char *p = NULL;
	long n = BIO_get_mem_data(text, &p);
	auto_free char *other = xasprintf("%s.new", name);
	if (unlinkat(dir, other, 0) < 0 && errno != ENOENT)
		return err_sys(e, "remove %s", other);
	auto_close int fd = openat(
		dir, other,
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	/* The mode that is meant, whatever the umask. */
	if (fd < 0 || fchmod(fd, (mode_t)mode) < 0 ||
	    write_all(fd, p, (size_t)n) < 0 ||
	    renameat(dir, other, dir, name) < 0)
		return err_sys(e, "write %s", name);
	return 0;
}

int tls_cert_write(const struct tls_cert *c, int dir, const char *cert_name,
		   const char *key_name, struct err *e)
{
	BIO *key = BIO_new(BIO_s_secmem()), *cert = BIO_new(BIO_s_mem());
	ERR_clear_error();
	int r = key && cert &&
				PEM_write_bio_PrivateKey(key, c->key, NULL,
							 NULL, 0, NULL, NULL) &&
				PEM_write_bio_X509(cert, c->cert)
			? 0
			: failed(e, "write a certificate");
	/* The key first: a certificate without its key is of no use. */
	if (!r)
		r = put_file(dir, key_name, 0600, key, e);
	if (!r)
		r = put_file(dir, cert_name, 0644, cert, e);
	BIO_free(key);
	BIO_free(cert);
	return r;
}

/* ---- judging ---- */

static bool has_names(X509 *cert, const char *const *names)
{
	for (; *names; names++) {
		bool has =
			family_of(*names) == AF_UNSPEC
				? X509_check_host(cert, *names, 0, 0, NULL) == 1
				: X509_check_ip_asc(cert, *names, 0) == 1;
		if (!has)
			return false;
	}
	return true;
}

bool tls_cert_is_good(const struct tls_cert *c,
		      const struct tls_cert *authority,
		      const char *const *names, int64_t time)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	bool is_good = store && ctx &&
		       X509_STORE_add_cert(store, authority->cert) &&
		       X509_STORE_CTX_init(ctx, store, c->cert, NULL);
	if (is_good) {
		X509_STORE_CTX_set_time(ctx, 0, (time_t)time);
		X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER);
		is_good =
			X509_verify_cert(ctx) == 1 && has_names(c->cert, names);
	}
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	ERR_clear_error();
	return is_good;
}
