#include "docker/hosts_file.h"
#include "base/limits.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define A "169.254.255.81"
#define NAME "model-runner.docker.internal"
#define LINE A "\t" NAME "\n"

static const char *const ours[] = { A, NULL };
static const struct hosts_rule with = { .name = NAME,
					.ours = ours,
					.address = A,
					.address6 = "fd6d:6f64:656c::80" };
static const struct hosts_rule without = { .name = NAME, .ours = ours };

static char folder[] = "/tmp/hosts_file_test.XXXXXX";
static int dir = -1;
static struct err err;

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	dir = open(folder, O_PATH | O_DIRECTORY);
	return dir < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = { "hosts", "hostname", "other",
					     "hostconfig.json" };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unlinkat(dir, names[i], 0);
	close(dir);
	return rmdir(folder);
}

static void put(const char *name, const char *text)
{
	auto_close int fd =
		openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void assert_hosts(const char *wanted)
{
	char got[4096];
	auto_close int fd = openat(dir, "hosts", O_RDONLY);
	ssize_t n = read(fd, got, sizeof got - 1);
	assert_true(n >= 0);
	got[n] = '\0';
	assert_string_equal(got, wanted);
}

static int apply(const struct hosts_rule *r, struct hosts_file_look *look)
{
	struct hosts_file f = { dir, "hosts", true };
	return hosts_file_apply(&f, r, look, &err);
}

static void in_and_out_keeps_the_inode_and_the_bytes(void **state)
{
	(void)state;
	struct hosts_file_look look;
	struct stat was, now;
	put("hosts", "127.0.0.1\tlocalhost\n172.17.0.2\tweb\n");
	assert_int_equal(fstatat(dir, "hosts", &was, 0), 0);
	assert_int_equal(apply(&with, &look), 0);
	assert_true(look.is_changed);
	assert_hosts("127.0.0.1\tlocalhost\n172.17.0.2\tweb\n" LINE);
	assert_int_equal(apply(&with, &look), 0);
	assert_false(look.is_changed);
	assert_int_equal(apply(&without, &look), 0);
	assert_true(look.is_changed);
	assert_hosts("127.0.0.1\tlocalhost\n172.17.0.2\tweb\n");
	assert_int_equal(fstatat(dir, "hosts", &now, 0), 0);
	assert_int_equal(was.st_ino, now.st_ino);
}

static void what_was_written_after_us_stays(void **state)
{
	(void)state;
	struct hosts_file_look look;
	put("hosts", "a\n" LINE "b\nc");
	assert_int_equal(apply(&without, &look), 0);
	assert_hosts("a\nb\nc");
}

static void the_users_entry_is_known_by_his_settings(void **state)
{
	(void)state;
	struct hosts_file_look look;
	put("hosts", LINE);
	put("hostconfig.json",
	    "{\"ExtraHosts\":[\"x:1.2.3.4\",\"Model-Runner.docker.internal:" A
	    "\"]}");
	assert_int_equal(apply(&without, &look), 0);
	assert_true(look.is_taken);
	assert_hosts(LINE);
	put("hostconfig.json", "{\"ExtraHosts\":null}");
	assert_int_equal(apply(&without, &look), 0);
	assert_hosts("");
	/* Not even JSON: then nothing says that it is his. */
	put("hosts", LINE);
	put("hostconfig.json", "{");
	assert_int_equal(apply(&without, &look), 0);
	assert_hosts("");
	unlinkat(dir, "hostconfig.json", 0);
}

static void the_hostname_tells_whose_addresses_they_are(void **state)
{
	(void)state;
	struct hosts_file_look look;
	put("hosts", "fd00::2\tweb\n" LINE);
	put("hostname", "web\n");
	assert_int_equal(apply(&with, &look), 0);
	assert_hosts("fd00::2\tweb\nfd6d:6f64:656c::80\t" NAME " # modeld\n");
	unlinkat(dir, "hostname", 0);
}

static void only_a_regular_file_is_opened(void **state)
{
	(void)state;
	struct hosts_file_look look;
	unlinkat(dir, "hosts", 0);
	assert_int_equal(apply(&with, &look), HOSTS_FILE_ABSENT);
	put("other", "x\n");
	assert_int_equal(symlinkat("other", dir, "hosts"), 0);
	assert_int_equal(apply(&with, &look), -1);
	unlinkat(dir, "hosts", 0);
	assert_int_equal(mkfifoat(dir, "hosts", 0644), 0);
	assert_int_equal(apply(&with, &look), -1);
	assert_non_null(strstr(err.msg, "regular file"));
	unlinkat(dir, "hosts", 0);
}

static void an_empty_file_is_left_to_who_is_about_to_fill_it(void **state)
{
	(void)state;
	struct hosts_file_look look;
	put("hosts", "");
	int fd = openat(dir, "hosts", O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(apply(&with, &look), HOSTS_FILE_ABSENT);
	assert_int_equal(write(fd, "1.1.1.1 x\n", 10), 10);
	close(fd);
	assert_hosts("1.1.1.1 x\n");
	assert_int_equal(apply(&with, &look), 0);
	assert_hosts("1.1.1.1 x\n" LINE);
	/* One that is empty for good is nobody's but ours to fill. */
	put("hosts", "");
	fd = openat(dir, "hosts", O_RDONLY);
	assert_int_equal(apply(&with, &look), 0);
	close(fd);
	assert_hosts(LINE);
}

static void the_ceiling_holds_at_it_and_one_above(void **state)
{
	(void)state;
	struct hosts_file_look look;
	struct stat st;
	put("hosts", "x\n");
	auto_close int fd = openat(dir, "hosts", O_RDWR);
	assert_int_equal(ftruncate(fd, LIMIT_HOSTS_BYTES), 0);
	assert_int_equal(apply(&with, &look), 0);
	assert_int_equal(look.bytes, LIMIT_HOSTS_BYTES);
	assert_true(look.is_changed);
	assert_int_equal(apply(&without, &look), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, LIMIT_HOSTS_BYTES);
	assert_int_equal(ftruncate(fd, LIMIT_HOSTS_BYTES + 1), 0);
	assert_int_equal(apply(&with, &look), -1);
	assert_int_equal(look.bytes, 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, LIMIT_HOSTS_BYTES + 1);
}

static void a_full_disk_leaves_no_half_line(void **state)
{
	(void)state;
	static const char text[] = "127.0.0.1\tlocalhost\n";
	struct hosts_file_look look;
	struct rlimit was, full;
	put("hosts", text);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	full = was;
	full.rlim_cur = strlen(text) + 10;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	int got = apply(&with, &look);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_int_equal(got, -1);
	assert_false(look.is_changed);
	assert_hosts(text);
	assert_int_equal(apply(&with, &look), 0);
	assert_hosts("127.0.0.1\tlocalhost\n" LINE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_and_out_keeps_the_inode_and_the_bytes),
		cmocka_unit_test(what_was_written_after_us_stays),
		cmocka_unit_test(the_users_entry_is_known_by_his_settings),
		cmocka_unit_test(the_hostname_tells_whose_addresses_they_are),
		cmocka_unit_test(only_a_regular_file_is_opened),
		cmocka_unit_test(
			an_empty_file_is_left_to_who_is_about_to_fill_it),
		cmocka_unit_test(the_ceiling_holds_at_it_and_one_above),
		cmocka_unit_test(a_full_disk_leaves_no_half_line),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
