#include "base/limits.h"
#include "docker/front_relay_make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define GET "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"
#define MODELS "GET /exp/vDD4.40/models HTTP/1.1\r\nHost: x\r\n\r\n"
#define MODELS_OUT \
	"GET /models HTTP/1.1\r\nHost: x\r\nModeld-Caller: uid=1000 pid=42\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"
#define POST(fields, body) \
	"POST /x HTTP/1.1\r\nHost: x\r\n" fields "\r\n\r\n" body
#define CHUNKS "3\r\nabc\r\n0\r\n\r\n"

static const size_t cuts[] = { 0, 1, 2, 3, 7, 19 };

static void assert_buf(const struct buf *b, const char *wanted)
{
	assert_string_equal(b->p ? b->p : "", wanted);
}

static void ask(struct relay_play *p, const char *text, size_t cut)
{
	relay_play_ask(p, str_of(text), cut);
}

static void answer(struct relay_play *p, const char *text, size_t cut)
{
	relay_play_answer(p, str_of(text), cut);
}

/* ---- one exchange, all ways to frame it ---- */

static const struct {
	const char *request, *response;
	bool closes; /* the connection, after the answer */
	bool until_end;
} exchanges[] = {
	{ GET, OK, false, false },
	{ "GET /_ping HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nhello", true,
	  true },
	{ "GET / HTTP/1.1\r\nHost:\r\n\r\n", OK, false, false },
	{ "GET / HTTP/1.1\r\nHost: %2Frun%2Fdocker.sock\r\n\r\n", OK, false,
	  false },
	{ "GET /caf\xc3\xa9?x={\"a\":[1]} HTTP/1.1\r\n\r\n", OK, false, false },
	{ "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", OK, true,
	  false },
	{ GET,
	  "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n"
	  "\r\n",
	  true, false },
	{ GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" CHUNKS,
	  false, false },
	{ GET,
	  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	  "3;x=\"y\"\r\nabc\r\n0\r\nDocker: yes\r\n\r\n",
	  false, false },
	{ GET, "HTTP/1.1 204 No Content\r\n\r\n", false, false },
	{ GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", false,
	  false },
	{ "HEAD /_ping HTTP/1.1\r\nHost: x\r\n\r\n",
	  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", false, false },
	{ GET, "HTTP/1.1 200 OK\r\n\r\nuntil the end", true, true },
	{ POST("Content-Length: 5", "hello"), OK, false, false },
	{ POST("Content-Length: 0", ""), OK, false, false },
	{ POST("Transfer-Encoding: chunked", CHUNKS), OK, false, false },
	{ POST("Transfer-Encoding: chunked", "0\r\nA: b\r\n\r\n"), OK, false,
	  false },
	{ POST("Expect: 100-continue\r\nContent-Length: 2", "hi"),
	  "HTTP/1.1 100 Continue\r\n\r\n" OK, false, false },
	{ GET, "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" OK, false, false },
};

static void each_framing_passes_every_byte_as_it_came(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(exchanges) * ARRAY_LEN(cuts); i++) {
		size_t cut = cuts[i % ARRAY_LEN(cuts)];
		struct relay_play p;
		relay_play_init(&p);
		const char *in = exchanges[i / ARRAY_LEN(cuts)].request;
		const char *out = exchanges[i / ARRAY_LEN(cuts)].response;
		ask(&p, in, cut);
		assert_buf(&p.to[FRONT_ENGINE], in);
		assert_true(front_relay_is_busy(&p.r));
		answer(&p, out, cut);
		if (exchanges[i / ARRAY_LEN(cuts)].until_end)
			relay_play_end(&p);
		assert_buf(&p.client, out);
		assert_int_equal(p.is_closed,
				 exchanges[i / ARRAY_LEN(cuts)].closes);
		if (!p.is_closed) {
			assert_false(front_relay_is_busy(&p.r));
			ask(&p, GET, cut);
			assert_true(str_ends(buf_str(&p.to[0]), GET));
		}
		relay_play_fini(&p);
	}
}

/* ---- what is refused ---- */

static const struct {
	const char *request;
	int status;
} refused[] = {
	{ POST("Content-Length: 1\r\nContent-Length: 1", "x"), 400 },
	{ POST("Content-Length: 1\r\nTransfer-Encoding: chunked", ""), 400 },
	{ POST("Content-Length: +1", "x"), 400 },
	{ POST("Content-Length: 1,1", "x"), 400 },
	{ POST("Content-Length: 0x1", "x"), 400 },
	{ POST("Content-Length: 1\t", "x"), 400 },
	{ POST("Content-Length: 99999999999999999999", ""), 400 },
	{ POST("Content-Length : 1", "x"), 400 },
	{ POST(" Content-Length: 1", "x"), 400 },
	{ POST("A: b\r\n c", "x"), 400 },
	{ POST("A: b\rc", "x"), 400 },
	{ POST("A: b\nC: d", "x"), 400 },
	{ POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", ""),
	  400 },
	{ POST("Transfer-Encoding: gzip, chunked", ""), 501 },
	{ POST("Transfer-Encoding: identity", ""), 501 },
	{ "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
	{ "GET  / HTTP/1.1\r\n\r\n", 400 },
	{ "GET / x HTTP/1.1\r\n\r\n", 400 },
	{ "GET /\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\n\n", 400 },
	{ "GET / HTTP/1.1 \r\n\r\n", 400 },
	{ "GET / HTTP/2.0\r\n\r\n", 505 },
	{ "GET / HTTP/1.2\r\n\r\n", 505 },
	{ "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 501 },
	{ "\x16\x03\x01\x02", 400 },
	{ "\r\n\r\n", 400 },
	{ GET "\x01", 0 }, /* only after the exchange before it */
};

static void what_has_two_readings_is_refused_and_ends_the_connection(
	void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused) * ARRAY_LEN(cuts); i++) {
		char status[32];
		struct relay_play p;
		int wanted = refused[i / ARRAY_LEN(cuts)].status;
		relay_play_init(&p);
		ask(&p, refused[i / ARRAY_LEN(cuts)].request,
		    cuts[i % ARRAY_LEN(cuts)]);
		assert_int_equal(p.is_closed, wanted != 0);
		snprintf(status, sizeof status, "HTTP/1.1 %d ", wanted);
		assert_int_equal(str_starts(buf_str(&p.client), status),
				 wanted != 0);
		assert_int_equal(p.to[0].n + p.to[1].n > 0, wanted == 0);
		relay_play_fini(&p);
	}
}

static void a_body_that_breaks_its_coding_ends_the_connection(void **state)
{
	(void)state;
	struct relay_play p;
	relay_play_init(&p);
	ask(&p, POST("Transfer-Encoding: chunked", "3\r\nabcd"), 0);
	assert_true(p.is_closed);
	assert_true(str_starts(buf_str(&p.client), "HTTP/1.1 400 "));
	relay_play_fini(&p);
}

static void a_head_may_be_as_large_as_docker_takes_it_and_no_larger(
	void **state)
{
	(void)state;
	for (size_t over = 0; over < 2; over++) {
		struct relay_play p;
		struct buf b;
		relay_play_init(&p);
		buf_init(&b, 2u << 20);
		assert_int_equal(buf_puts(&b, "GET / HTTP/1.1\r\n"), 0);
		while (b.n < LIMIT_FRONT_HEAD_BYTES - 1000)
			assert_int_equal(buf_puts(&b, "A: b\r\n"), 0);
		assert_int_equal(buf_puts(&b, "B: "), 0);
		while (b.n < LIMIT_FRONT_HEAD_BYTES - 4 + over)
			assert_int_equal(buf_puts(&b, "x"), 0);
		assert_int_equal(buf_puts(&b, "\r\n\r\n"), 0);
		relay_play_ask(&p, buf_str(&b), 65536);
		assert_int_equal(p.is_closed, over == 1);
		assert_int_equal(p.to[0].n, over ? 0 : b.n);
		assert_int_equal(str_starts(buf_str(&p.client), "HTTP/1.1 431"),
				 over == 1);
		buf_fini(&b);
		relay_play_fini(&p);
	}
}

static void an_answer_that_is_none_becomes_502(void **state)
{
	(void)state;
	static const char *const bad[] = { "SSH-2.0-x\r\n\r\n",
					   "HTTP/1.1 20 OK\r\n\r\n",
					   "HTTP/1.1 200 OK\r\nA b\r\n\r\n" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct relay_play p;
		relay_play_init(&p);
		ask(&p, GET, 0);
		answer(&p, bad[i], 0);
		assert_true(p.is_closed);
		assert_true(str_starts(buf_str(&p.client), "HTTP/1.1 502 "));
		relay_play_fini(&p);
	}
}

/* ---- two worlds ---- */

static const struct {
	const char *in, *out; /* out NULL: to the Engine as it is */
} routes[] = {
	{ MODELS, MODELS_OUT },
	{ "POST /exp/vDD4.40/v1/x?y=/exp/vDD4.40/ HTTP/1.1\r\nA: b\r\n"
	  "modeld-caller: uid=0\r\nContent-Length: 2\r\nMODELD-CALLER: x\r\n"
	  "\r\nhi",
	  "POST /v1/x?y=/exp/vDD4.40/ HTTP/1.1\r\nA: b\r\nContent-Length: 2\r\n"
	  "Modeld-Caller: uid=1000 pid=42\r\n\r\nhi" },
	{ "\r\nGET /exp/vDD4.40/ HTTP/1.1\r\n\r\n",
	  "GET / HTTP/1.1\r\nModeld-Caller: uid=1000 pid=42\r\n\r\n" },
	{ "GET /exp/vDD4.40 HTTP/1.1\r\n\r\n", NULL },
	{ "GET /exp/vDD4.40x/ HTTP/1.1\r\n\r\n", NULL },
	{ "GET /exp/vDD4%2e40/models HTTP/1.1\r\n\r\n", NULL },
	{ "GET //exp/vDD4.40/models HTTP/1.1\r\n\r\n", NULL },
	{ "GET http://x/exp/vDD4.40/models HTTP/1.1\r\n\r\n", NULL },
	{ "GET /v1.41/info HTTP/1.1\r\nModeld-Caller: uid=0\r\n\r\n", NULL },
};

static void the_path_decides_between_the_worlds(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(routes) * ARRAY_LEN(cuts); i++) {
		struct relay_play p;
		const char *in = routes[i / ARRAY_LEN(cuts)].in;
		const char *out = routes[i / ARRAY_LEN(cuts)].out;
		relay_play_init(&p);
		ask(&p, in, cuts[i % ARRAY_LEN(cuts)]);
		assert_buf(&p.to[FRONT_MODELD], out ? out : "");
		assert_buf(&p.to[FRONT_ENGINE], out ? "" : in);
		relay_play_fini(&p);
	}
}

static void requests_in_a_row_are_taken_one_after_another(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		struct relay_play p;
		relay_play_init(&p);
		ask(&p, GET MODELS GET, cuts[i]);
		assert_buf(&p.to[FRONT_ENGINE], GET);
		assert_buf(&p.to[FRONT_MODELD], "");
		answer(&p, OK, cuts[i]);
		assert_buf(&p.to[FRONT_MODELD], MODELS_OUT);
		assert_buf(&p.to[FRONT_ENGINE], GET);
		answer(&p, OK, cuts[i]);
		assert_buf(&p.to[FRONT_ENGINE], GET GET);
		answer(&p, OK, cuts[i]);
		assert_buf(&p.client, OK OK OK);
		assert_false(front_relay_is_busy(&p.r));
		relay_play_fini(&p);
	}
}

static void an_answer_may_be_over_before_its_request(void **state)
{
	(void)state;
	struct relay_play p;
	relay_play_init(&p);
	ask(&p, POST("Content-Length: 10", "half"), 0);
	answer(&p, OK, 0);
	assert_buf(&p.client, OK);
	assert_true(front_relay_is_busy(&p.r));
	ask(&p, "theend" GET, 3);
	assert_buf(&p.to[0], POST("Content-Length: 10", "halftheend") GET);
	relay_play_fini(&p);
}

static void more_than_the_answer_ends_the_connection(void **state)
{
	(void)state;
	struct relay_play p;
	relay_play_init(&p);
	ask(&p, POST("Content-Length: 10", "half"), 0);
	answer(&p, OK "HTTP/1.1 200 OK\r\n\r\n", 0);
	assert_true(p.is_closed);
	assert_buf(&p.client, OK);
	relay_play_fini(&p);
}

/* ---- pipes ---- */

static const char *const hijacks[] = {
	"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
	"Content-Type: application/vnd.docker.raw-stream\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n"
	"\r\n",
	"HTTP/1.1 200 OK\r\nContent-Type: "
	"application/vnd.docker.multiplexed-stream; x=y\r\n\r\n",
};

static void a_hijack_makes_both_ways_pipes(void **state)
{
	(void)state;
	static const char attach[] =
		POST("Connection: Upgrade\r\nUpgrade: tcp\r\n"
		     "Content-Type: application/json\r\nContent-Length: 2",
		     "{}");
	for (size_t i = 0; i < ARRAY_LEN(hijacks) * ARRAY_LEN(cuts); i++) {
		size_t cut = cuts[i % ARRAY_LEN(cuts)];
		const char *head = hijacks[i / ARRAY_LEN(cuts)];
		struct relay_play p;
		relay_play_init(&p);
		ask(&p, attach, cut);
		ask(&p, "GET early", cut); /* it waits for the answer */
		assert_buf(&p.to[0], attach);
		answer(&p, head, cut);
		assert_int_equal(p.r.answering, FRONT_PIPE);
		assert_true(str_ends(buf_str(&p.to[0]), "{}GET early"));
		answer(&p, "\x01\r\n\r\nHTTP/1.1", cut);
		assert_true(
			str_ends(buf_str(&p.client), "\x01\r\n\r\nHTTP/1.1"));
		relay_play_end(&p);
		assert_true(p.has_fin);
		ask(&p, MODELS, cut);
		assert_true(str_ends(buf_str(&p.to[0]), "early" MODELS));
		assert_int_equal(p.to[1].n, 0);
		relay_play_fini(&p);
	}
}

static void a_raw_stream_with_a_length_is_no_hijack(void **state)
{
	(void)state;
	struct relay_play p;
	relay_play_init(&p);
	ask(&p, GET, 0);
	answer(&p,
	       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: "
	       "application/vnd.docker.multiplexed-stream\r\n\r\n" CHUNKS,
	       0);
	assert_false(front_relay_is_busy(&p.r));
	relay_play_fini(&p);
}

static void http2_goes_to_the_engine_as_it_is(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		struct relay_play p;
		relay_play_init(&p);
		ask(&p, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x01" MODELS, cuts[i]);
		assert_buf(&p.to[0],
			   "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x01" MODELS);
		answer(&p, "\x04\x08", 0);
		assert_buf(&p.client, "\x04\x08");
		relay_play_fini(&p);
	}
}

/* ---- ends ---- */

static void an_answer_that_breaks_off_ends_the_connection(void **state)
{
	(void)state;
	static const char *const parts[] = {
		"", "HTTP/1.1 200 OK\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"
	};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct relay_play p;
		relay_play_init(&p);
		ask(&p, GET, 0);
		answer(&p, parts[i], 0);
		relay_play_end(&p);
		assert_true(p.is_closed);
		assert_buf(&p.client, i == 2 ? parts[i] : "");
		relay_play_fini(&p);
	}
}

static void who_cannot_be_reached_is_told_as_docker_tells_it(void **state)
{
	(void)state;
	static const struct {
		const char *request, *said;
	} cases[] = {
		{ GET, "{\"message\":\"Cannot connect to the Docker daemon at "
		       "unix:///run/docker.sock. Is the docker daemon "
		       "running?\"" },
		{ MODELS, "systemctl start modeld" },
		{ "HEAD /_ping HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\n" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct relay_play p;
		struct front_step step;
		relay_play_init(&p);
		ask(&p, cases[i].request, 0);
		front_relay_unreachable(&p.r, &step);
		assert_int_equal(step.what, FRONT_ANSWER);
		assert_true(str_starts(step.bytes, "HTTP/1.1 503 "));
		assert_non_null(memmem(step.bytes.p, step.bytes.n,
				       cases[i].said, strlen(cases[i].said)));
		assert_int_equal(str_ends(step.bytes, "\r\n\r\n"), i == 2);
		relay_play_pump(&p, &p.left, true);
		assert_true(p.is_closed);
		relay_play_fini(&p);
	}
}

static void the_front_answers_for_itself(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		struct relay_play p;
		relay_play_init(&p);
		ask(&p, FRONT_PING FRONT_PING GET, cuts[i]);
		assert_true(str_starts(buf_str(&p.client), FRONT_PONG));
		assert_buf(&p.to[0], GET);
		assert_int_equal(p.to[1].n, 0);
		relay_play_fini(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_framing_passes_every_byte_as_it_came),
		cmocka_unit_test(
			what_has_two_readings_is_refused_and_ends_the_connection),
		cmocka_unit_test(
			a_body_that_breaks_its_coding_ends_the_connection),
		cmocka_unit_test(
			a_head_may_be_as_large_as_docker_takes_it_and_no_larger),
		cmocka_unit_test(an_answer_that_is_none_becomes_502),
		cmocka_unit_test(the_path_decides_between_the_worlds),
		cmocka_unit_test(requests_in_a_row_are_taken_one_after_another),
		cmocka_unit_test(an_answer_may_be_over_before_its_request),
		cmocka_unit_test(more_than_the_answer_ends_the_connection),
		cmocka_unit_test(a_hijack_makes_both_ways_pipes),
		cmocka_unit_test(a_raw_stream_with_a_length_is_no_hijack),
		cmocka_unit_test(http2_goes_to_the_engine_as_it_is),
		cmocka_unit_test(an_answer_that_breaks_off_ends_the_connection),
		cmocka_unit_test(
			who_cannot_be_reached_is_told_as_docker_tells_it),
		cmocka_unit_test(the_front_answers_for_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
