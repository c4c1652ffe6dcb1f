/* OpenSSL reads from and writes to a BIO of ours: input is the piece that the
 * socket just gave (what a paused owner leaves of it is kept, and the socket is
 * not read until that is used up), output is the stream's `sealed`.
 *
 * One timer: the handshake's deadline, and after it whatever must not be done
 * inside the owner's call. */
#include "io/tls.h"
#include "base/log.h"
#include "io/stream_priv.h"
#include "io/timer.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define RECORD_BYTES SSL3_RT_MAX_PLAIN_LENGTH
/* TLS 1.2: forward secrecy and authenticated encryption only. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

struct tls {
	SSL_CTX *ctx; /* owned */
	bool is_server;
};

struct layer {
	struct stream_filter filter;
	SSL_CTX *ctx; /* owned: a reference */
	SSL *ssl;     /* owned; a server's is made when its client speaks */
	bool is_server;
	char *host;	 /* owned; NULL for a server */
	struct str in;	 /* while in input(): not used yet */
	struct buf kept; /* of it, while the owner pauses */
	bool is_sealing_broken;
	struct timer timer;
};

static struct layer *of(struct stream_filter *f)
{
	return container_of(f, struct layer, filter);
}

/* ---- what OpenSSL reads and writes ---- */

static int bio_read(BIO *b, char *to, size_t room, size_t *n)
{
	struct layer *t = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	*n = MIN(room, t->in.n);
	if (!*n) {
		BIO_set_retry_read(b);
		return 0;
	}
	memcpy(to, t->in.p, *n);
	t->in = str_tail(t->in, *n);
	return 1;
}

static int bio_write(BIO *b, const char *from, size_t n, size_t *taken)
{
	struct layer *t = BIO_get_data(b);
	BIO_clear_retry_flags(b);
	*taken = n;
	return buf_put(&t->filter.s->sealed, from, n) == 0;
}

static long bio_ctrl(BIO *b, int what, long n, void *p)
{
	(void)b;
	(void)n;
	(void)p;
	return what == BIO_CTRL_FLUSH;
}

/* One for the program; it is never freed. */
static BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *m;
	if (m)
		return m;
	m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
	if (!m)
		abort();
	BIO_meth_set_read_ex(m, bio_read);
	BIO_meth_set_write_ex(m, bio_write);
	BIO_meth_set_ctrl(m, bio_ctrl);
	return m;
}

/* ---- settings ---- */

/* What OpenSSL complained of first. */
static const char *why(void)
{
	unsigned long code = ERR_get_error();
	const char *text = ERR_reason_error_string(code);
	ERR_clear_error();
	return text ? text : "no reason given";
}

static int choose_protocol(SSL *ssl, const unsigned char **out,
			   unsigned char *out_n, const unsigned char *in,
			   unsigned in_n, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	(void)ssl;
	(void)arg;
	/* A client of another protocol must not take us for its server. */
	if (SSL_select_next_proto((unsigned char **)out, out_n, ours,
				  sizeof ours - 1, in,
				  in_n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

/* Nobody is there to ask for a passphrase. */
static int no_passphrase(char *buf, int size, int is_writing, void *ctx)
{
	(void)buf;
	(void)size;
	(void)is_writing;
	(void)ctx;
	return -1;
}

static struct tls *tls_new(bool is_server)
{
	struct tls *t = xcalloc(1, sizeof *t);
	t->is_server = is_server;
	t->ctx = SSL_CTX_new(is_server ? TLS_server_method()
				       : TLS_client_method());
	if (!t->ctx || !SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION) ||
	    !SSL_CTX_set_cipher_list(t->ctx, CIPHERS))
		abort(); /* out of memory, or an OpenSSL without these */
	SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION |
					    SSL_OP_NO_COMPRESSION |
					    SSL_OP_CIPHER_SERVER_PREFERENCE |
					    SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(t->ctx, SSL_MODE_RELEASE_BUFFERS);
	/* Sessions are in the clients' tickets; we hold none. */
	SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_default_passwd_cb(t->ctx, no_passphrase);
	return t;
}

int tls_server_new(const char *cert_file, const char *key_file,
		   struct tls **out, struct err *e)
{
	auto_(tls) t = tls_new(true);
	SSL_CTX_set_num_tickets(t->ctx, 1);
	SSL_CTX_set_alpn_select_cb(t->ctx, choose_protocol, NULL);
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(t->ctx, cert_file) != 1)
		return err_set(e, ERR_INVALID,
			       "%s holds no certificate in PEM that can be "
			       "used: %s",
			       cert_file, why());
	if (SSL_CTX_use_PrivateKey_file(t->ctx, key_file, SSL_FILETYPE_PEM) !=
	    1)
		return err_set(e, ERR_INVALID,
			       "%s holds no key of %s, in PEM and without a "
			       "passphrase: %s",
			       key_file, cert_file, why());
	*out = steal(&t);
	return 0;
}

static int trust_files(struct tls *t, const char *const *files, struct err *e)
{
	for (; *files; files++)
		if (SSL_CTX_load_verify_file(t->ctx, *files) != 1)
			return err_set(e, ERR_INVALID,
				       "%s holds no CA's certificate in PEM "
				       "that can be read: %s",
				       *files, why());
	/* A certificate that is named here is believed, whoever signed it. */
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(t->ctx),
				    X509_V_FLAG_PARTIAL_CHAIN);
	return 0;
}

int tls_client_new(const struct tls_trust *trust, struct tls **out,
		   struct err *e)
{
	static const unsigned char protocols[] = "\x08http/1.1";
	auto_(tls) t = tls_new(false);
	ERR_clear_error();
	SSL_CTX_set_verify(
		t->ctx, trust->any ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_alpn_protos(t->ctx, protocols, sizeof protocols - 1);
	if (trust->ca_files && trust_files(t, trust->ca_files, e))
		return -1;
	if ((!trust->ca_files || trust->and_system) && !trust->any)
		SSL_CTX_set_default_verify_paths(t->ctx);
	*out = steal(&t);
	return 0;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_CTX_free(t->ctx);
	free(t);
}

int64_t tls_server_ends(const struct tls *t)
{
	struct tm tm;
	const X509 *cert = SSL_CTX_get0_certificate(t->ctx);
	if (!cert || !ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm))
		return 0;
	return timegm(&tm);
}

/* ---- the handshake ---- */

/* The certificate must be for this host. */
static void demand(struct layer *t)
{
	X509_VERIFY_PARAM *p = SSL_get0_param(t->ssl);
	X509_VERIFY_PARAM_set_hostflags(p,
					X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	/* An address is no name: it is not sent (RFC 6066, section 3). */
	if (X509_VERIFY_PARAM_set1_ip_asc(p, t->host))
		return;
	ERR_clear_error();
	if (!X509_VERIFY_PARAM_set1_host(p, t->host, 0) ||
	    !SSL_set_tlsext_host_name(t->ssl, t->host))
		abort();
}

static void make_ssl(struct layer *t)
{
	BIO *bio = BIO_new(bio_method());
	t->ssl = SSL_new(t->ctx);
	if (!t->ssl || !bio)
		abort();
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(t->ssl, bio, bio);
	if (t->is_server) {
		SSL_set_accept_state(t->ssl);
		return;
	}
	SSL_set_connect_state(t->ssl);
	demand(t);
}

static void fail(struct layer *t, const char *reason)
{
	struct stream *s = t->filter.s;
	struct stream_peer peer;
	struct err e;
	stream_get_peer(s, &peer);
	log_debug("tls over peer=%s error=\"%s\"", peer.address, reason);
	timer_stop(&t->timer);
	err_set(&e, ERR_TLS, "tls: %s", reason);
	stream_fail(s, &e);
}

static void distrust(const struct layer *t, long verdict, char *out, size_t n)
{
	switch (verdict) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		snprintf(out, n, "the certificate there is not for '%s'",
			 t->host);
		return;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		snprintf(out, n, "the certificate there has expired");
		return;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		snprintf(out, n,
			 "the certificate there is not valid yet (or "
			 "this machine's clock is wrong)");
		return;
	default:
		snprintf(out, n,
			 "the certificate there is not from a CA that is "
			 "trusted here (%s)",
			 X509_verify_cert_error_string(verdict));
	}
}

static void fail_openssl(struct layer *t)
{
	char text[256];
	int reason = ERR_GET_REASON(ERR_peek_error());
	long verdict = t->host ? SSL_get_verify_result(t->ssl) : X509_V_OK;
	if (verdict != X509_V_OK && t->filter.s->is_shaking)
		distrust(t, verdict, text, sizeof text);
	else if (reason == SSL_R_WRONG_VERSION_NUMBER && t->host)
		snprintf(text, sizeof text, "what answers there is not TLS");
	else
		snprintf(text, sizeof text, "%s", why());
	ERR_clear_error();
	for (char *p = text; (p = strchr(p, ':'));)
		*p = ',';
	fail(t, text);
}

/* A browser or a program that left out the "s". No record begins so. */
static bool is_plain_http(const struct layer *t)
{
	return t->is_server && !t->ssl && t->in.p[0] >= 'A' &&
	       t->in.p[0] <= 'Z';
}

static void refuse_plain_http(struct layer *t)
{
	static const char answer[] =
		"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
		"Connection: close\r\nContent-Length: 41\r\n\r\n"
		"This port speaks TLS: ask for https://...";
	struct stream *s = t->filter.s;
	if (buf_put(&s->sealed, answer, sizeof answer - 1) == 0)
		stream_send_sealed(s);
	t->in.n = 0;
	fail(t, "plain HTTP came");
}

static void shake(struct layer *t)
{
	struct stream *s = t->filter.s;
	ERR_clear_error();
	int r = SSL_do_handshake(t->ssl);
	stream_send_sealed(s); /* an alert too */
	if (r == 1) {
		timer_stop(&t->timer);
		stream_shaken(s);
	} else if (SSL_get_error(t->ssl, r) != SSL_ERROR_WANT_READ) {
		fail_openssl(t);
	}
}

static void begin(struct stream_filter *f)
{
	struct layer *t = of(f);
	timer_start(&t->timer, LIMIT_TLS_HANDSHAKE_MS);
	if (!t->is_server) {
		make_ssl(t);
		shake(t);
	}
}

/* ---- after it ---- */

static bool is_usable(const struct layer *t)
{
	const struct stream *s = t->filter.s;
	return s->fns && !s->is_failed && !s->is_ended;
}

static bool read_one(struct layer *t)
{
	struct stream *s = t->filter.s;
	char plain[RECORD_BYTES];
	size_t n;
	ERR_clear_error();
	if (SSL_read_ex(t->ssl, plain, sizeof plain, &n)) {
		s->fns->on_data(s->ctx, (struct str){ plain, n });
		return true;
	}
	switch (SSL_get_error(t->ssl, 0)) {
	case SSL_ERROR_WANT_READ:
		break;
	case SSL_ERROR_ZERO_RETURN:
		stream_ended(s);
		break;
	default:
		stream_send_sealed(s);
		fail_openssl(t);
	}
	return false;
}

static void read_all(struct layer *t)
{
	struct stream *s = t->filter.s;
	if (!t->ssl && is_plain_http(t)) {
		refuse_plain_http(t);
		return;
	}
	if (!t->ssl)
		make_ssl(t);
	if (s->is_shaking)
		shake(t);
	while (is_usable(t) && !s->is_shaking && s->is_reading && read_one(t))
		;
	if (!is_usable(t))
		return;
	stream_send_sealed(s);
	if (s->sealed.n > LIMIT_TLS_CONTROL_BYTES)
		fail(t, "it asks for more than it reads");
}

static void input(struct stream_filter *f, struct str data)
{
	struct layer *t = of(f);
	bool was_kept = t->kept.n > 0;
	assert(!was_kept || !data.n);
	t->in = was_kept ? buf_str(&t->kept) : data;
	read_all(t);
	if (was_kept)
		buf_drop(&t->kept, t->kept.n - t->in.n);
	else if (t->in.n && is_usable(t) && buf_put(&t->kept, t->in.p, t->in.n))
		assert(!"one read at most");
	t->in.n = 0;
	if (t->kept.n && is_usable(t))
		return;
	buf_release(&t->kept);
	if (was_kept && is_usable(t) && f->s->is_reading)
		stream_read_start(f->s);
}

static void input_end(struct stream_filter *f)
{
	fail(of(f), f->s->is_shaking
			    ? "the connection ended in the handshake"
			    : "the connection was cut without a last word");
}

static void resume(struct stream_filter *f)
{
	struct layer *t = of(f);
	if (t->kept.n)
		timer_start(&t->timer, 0);
	else
		stream_read_start(f->s);
}

static void seal(struct stream_filter *f, struct str plain)
{
	struct layer *t = of(f);
	size_t n;
	ERR_clear_error();
	if (!plain.n || SSL_write_ex(t->ssl, plain.p, plain.n, &n))
		return;
	/* Told later, as a failed write is. */
	t->is_sealing_broken = true;
	timer_start(&t->timer, 0);
}

static void seal_end(struct stream_filter *f)
{
	ERR_clear_error();
	SSL_shutdown(of(f)->ssl);
	ERR_clear_error();
}

static void on_timer(void *ctx)
{
	struct layer *t = ctx;
	struct stream *s = t->filter.s;
	if (!is_usable(t) && !(s->fns && t->is_sealing_broken))
		return;
	if (s->is_shaking)
		fail(t, "the handshake took too long");
	else if (t->is_sealing_broken)
		fail(t, "nothing more can be sent");
	else if (s->is_reading)
		stream_input(s, STR(""));
}

static void layer_free(struct stream_filter *f)
{
	struct layer *t = of(f);
	timer_fini(&t->timer);
	SSL_free(t->ssl);
	SSL_CTX_free(t->ctx);
	buf_fini(&t->kept);
	free(t->host);
	free(t);
}

void tls_start(const struct tls *tls, struct stream *s, const char *host)
{
	static const struct stream_filter_fns fns = {
		.begin = begin,
		.input = input,
		.input_end = input_end,
		.resume = resume,
		.seal = seal,
		.seal_end = seal_end,
		.free = layer_free,
	};
	struct layer *t = xcalloc(1, sizeof *t);
	assert(tls->is_server == !host);
	t->filter.fns = &fns;
	t->is_server = tls->is_server;
	t->host = host ? xstrdup(host) : NULL;
	SSL_CTX_up_ref(tls->ctx);
	t->ctx = tls->ctx;
	buf_init(&t->kept, LIMIT_READ_BYTES);
	timer_init(&t->timer, s->uv.any.loop, on_timer, t);
	stream_set_filter(s, &t->filter);
}
