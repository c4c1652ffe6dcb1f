#include "api/caller.h"

#include "base/limits.h"
#include "http/head.h"
#include "io/listener.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>
#include <uv.h>

#define CONTAINER \
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct place {
	uv_loop_t loop;
	struct listener *listener;
	struct stream *stream; /* as accepted */
	int client;
	struct caller *c;
	int known, forgotten;
};

static void on_accept(void *ctx, struct stream *s)
{
	struct place *p = ctx;
	p->stream = s;
}

static int set_up(void **state)
{
	struct place *p = xcalloc(1, sizeof *p);
	p->client = -1;
	assert_int_equal(uv_loop_init(&p->loop), 0);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	caller_free(p->c);
	if (p->client >= 0)
		close(p->client);
	stream_free(p->stream);
	listener_free(p->listener);
	uv_run(&p->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&p->loop), 0);
	free(p);
	return 0;
}

static void meet(struct place *p, const struct sockaddr *a, socklen_t n)
{
	p->client = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(p->client, a, n), 0);
	while (!p->stream)
		uv_run(&p->loop, UV_RUN_ONCE);
}

static void come_by_tcp(struct place *p, enum access_way door)
{
	struct err e;
	struct sockaddr_in a;
	assert_int_equal(listener_tcp(&p->loop, "127.0.0.1", 0, on_accept, p,
				      &p->listener, &e),
			 0);
	uv_ip4_addr("127.0.0.1", listener_port(p->listener), &a);
	meet(p, (struct sockaddr *)&a, sizeof a);
	p->c = caller_new(door, p->stream);
}

static void come_by_unix(struct place *p)
{
	struct err e;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof a.sun_path, "/tmp/caller-test-%d",
		 getpid());
	assert_int_equal(listener_unix(&p->loop, a.sun_path, 0600, on_accept, p,
				       &p->listener, &e),
			 0);
	meet(p, (struct sockaddr *)&a, sizeof a);
	p->c = caller_new(ACCESS_SOCKET, p->stream);
}

static void request(struct caller *c, const char *front)
{
	struct http_head h = { .minor = 1 };
	if (front)
		h.fields[h.n_fields++] =
			(struct http_field){ STR("Modeld-Caller"),
					     str_of(front) };
	caller_begin(c, &h);
}

static void is_called(struct caller *c, const char *text, const char *cache)
{
	char buf[CALLER_TEXT_BYTES], id[CALLER_CACHE_ID_BYTES];
	if (text)
		assert_string_equal(caller_text(c, buf), text);
	assert_string_equal(caller_cache_id(c, id), cache);
}

static void a_unix_socket_tells_the_user(void **state)
{
	struct place *p = *state;
	char text[64], id[64];
	come_by_unix(p);
	request(p->c, NULL);
	snprintf(text, sizeof text, "uid=%u pid=%d", getuid(), getpid());
	snprintf(id, sizeof id, "uid=%u", getuid());
	is_called(p->c, text, id);
	assert_int_equal(p->c->way, ACCESS_SOCKET);
}

static void the_front_tells_of_one_request_only(void **state)
{
	struct place *p = *state;
	char id[64];
	come_by_unix(p);
	request(p->c, "uid=4321 pid=99");
	is_called(p->c, "uid=4321 pid=99", "uid=4321");
	assert_int_equal(p->c->way, ACCESS_DOCKER);
	request(p->c, NULL);
	snprintf(id, sizeof id, "uid=%u", getuid());
	is_called(p->c, NULL, id);
	assert_int_equal(p->c->way, ACCESS_SOCKET);
}

static void nobody_tells_it_by_tcp(void **state)
{
	struct place *p = *state;
	come_by_tcp(p, ACCESS_HOST);
	request(p->c, "uid=4321 pid=99");
	assert_int_equal(p->c->way, ACCESS_HOST);
	is_called(p->c, NULL, "way=host");
}

static void loopback_tells_the_user_when_asked(void **state)
{
	struct place *p = *state;
	char id[64];
	come_by_tcp(p, ACCESS_HOST);
	snprintf(id, sizeof id, "uid=%u", getuid());
	caller_identify(p->c);
	is_called(p->c, id, id);
	request(p->c, NULL); /* it holds for the whole connection */
	is_called(p->c, id, id);
}

static void a_container_is_not_taken_for_a_user(void **state)
{
	struct place *p = *state;
	come_by_tcp(p, ACCESS_CONTAINERS);
	caller_identify(p->c);
	is_called(p->c, "way=containers", "way=containers");
}

static void the_helper_tells_which_container(void **state)
{
	struct place *p = *state;
	struct caller_facts f = { STR("172.17.0.5"), STR(CONTAINER),
				  STR("web") };
	come_by_tcp(p, ACCESS_CONTAINERS);
	caller_learn(p->c, &f);
	is_called(p->c, "container=web/0123456789ab", "container=" CONTAINER);
}

static void an_address_alone_is_no_identity(void **state)
{
	struct place *p = *state;
	struct caller_facts f = { .address = STR("172.17.0.5") };
	come_by_tcp(p, ACCESS_CONTAINERS);
	caller_learn(p->c, &f);
	is_called(p->c, "address=172.17.0.5", "way=containers");
}

static void a_key_is_the_identity_if_one_was_used(void **state)
{
	struct place *p = *state;
	char text[300];
	come_by_tcp(p, ACCESS_HOST);
	caller_identify(p->c);
	p->c->key = "ci";
	is_called(p->c, NULL, "key=ci");
	memset(text, 'k', sizeof text);
	text[LIMIT_CACHE_ID_BYTES - 4] = '\0';
	p->c->key = text;
	char id[CALLER_CACHE_ID_BYTES], longer[CALLER_CACHE_ID_BYTES];
	assert_int_equal(strlen(caller_cache_id(p->c, id)),
			 LIMIT_CACHE_ID_BYTES);
	/* Longer ones are told apart too. */
	text[LIMIT_CACHE_ID_BYTES - 4] = 'k';
	text[200] = '\0';
	assert_true(strlen(caller_cache_id(p->c, id)) <= LIMIT_CACHE_ID_BYTES);
	text[199] = 'x';
	caller_cache_id(p->c, longer);
	assert_string_not_equal(id, longer);
}

/* ---- waiting ---- */

static void on_known(void *ctx)
{
	struct place *p = ctx;
	p->known++;
}

static void forget(void *ctx)
{
	struct place *p = ctx;
	p->forgotten++;
}

static void who_is_known_is_not_waited_for(void **state)
{
	struct place *p = *state;
	come_by_tcp(p, ACCESS_HOST);
	assert_int_equal(caller_wait(p->c, on_known, p), 0);
}

static void an_answer_ends_the_wait(void **state)
{
	struct place *p = *state;
	come_by_tcp(p, ACCESS_CONTAINERS);
	caller_expect(p->c, &p->loop, forget, p);
	assert_int_equal(caller_wait(p->c, on_known, p), CALLER_WAITS);
	assert_int_equal(p->known, 0);
	caller_learn(p->c, NULL);
	assert_int_equal(p->known, 1);
	assert_int_equal(caller_wait(p->c, on_known, p), 0);
	caller_free(steal(&p->c));
	assert_int_equal(p->forgotten, 0);
}

static void so_does_time_and_then_nobody_waits_again(void **state)
{
	struct place *p = *state;
	struct caller_facts f = { .container = STR(CONTAINER) };
	come_by_tcp(p, ACCESS_CONTAINERS);
	caller_expect(p->c, &p->loop, forget, p);
	uint64_t began = timer_now_ns();
	assert_int_equal(caller_wait(p->c, on_known, p), CALLER_WAITS);
	while (!p->known)
		uv_run(&p->loop, UV_RUN_ONCE);
	assert_true(timer_now_ns() - began >=
		    (LIMIT_HELPER_WHO_MS - 5) * 1000000ull);
	assert_int_equal(caller_wait(p->c, on_known, p), 0);
	/* It is still heard, for the requests to come. */
	caller_learn(p->c, &f);
	is_called(p->c, NULL, "container=" CONTAINER);
	assert_int_equal(p->known, 1);
}

static void a_request_that_is_gone_waits_no_more(void **state)
{
	struct place *p = *state;
	come_by_tcp(p, ACCESS_CONTAINERS);
	caller_expect(p->c, &p->loop, forget, p);
	assert_int_equal(caller_wait(p->c, on_known, p), CALLER_WAITS);
	caller_wait_cancel(p->c);
	caller_learn(p->c, NULL);
	assert_int_equal(p->known, 0);
}

static void who_leaves_is_forgotten_once(void **state)
{
	struct place *p = *state;
	come_by_tcp(p, ACCESS_CONTAINERS);
	caller_expect(p->c, &p->loop, forget, p);
	assert_int_equal(caller_wait(p->c, on_known, p), CALLER_WAITS);
	caller_free(steal(&p->c));
	assert_int_equal(p->forgotten, 1);
	assert_int_equal(p->known, 0);
}

#define ROW(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(a_unix_socket_tells_the_user),
		ROW(the_front_tells_of_one_request_only),
		ROW(nobody_tells_it_by_tcp),
		ROW(loopback_tells_the_user_when_asked),
		ROW(a_container_is_not_taken_for_a_user),
		ROW(the_helper_tells_which_container),
		ROW(an_address_alone_is_no_identity),
		ROW(a_key_is_the_identity_if_one_was_used),
		ROW(who_is_known_is_not_waited_for),
		ROW(an_answer_ends_the_wait),
		ROW(so_does_time_and_then_nobody_waits_again),
		ROW(a_request_that_is_gone_waits_no_more),
		ROW(who_leaves_is_forgotten_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
