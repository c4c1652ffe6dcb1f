#include "docker/guard_iptables.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where each chain hangs. */
static const struct hook {
	const char *table, *from, *chain;
} hooks[] = {
	{ "raw", "PREROUTING", "MODELD-GUARD" },
	{ "nat", "POSTROUTING", "MODELD-MASQ" },
	{ "nat", "PREROUTING", "MODELD-OPEN" },
	{ "filter", "FORWARD", "MODELD-REFUSE" },
};

/* Where Debian, Red Hat and others have them; nothing is looked for in PATH,
 * since root runs it. */
static const char *const folders[] = { "/usr/sbin", "/sbin", "/usr/bin",
				       "/usr/local/sbin" };

/* The legacy programs where both kinds are installed: the other kind needs
 * nftables, and then we would not be here. */
static bool find_program(bool is_ipv6, const char *end, char out[64])
{
	static const char *const kinds[] = { "-legacy", "" };
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
			snprintf(out, 64, "%s/%s%s%s", folders[i],
				 is_ipv6 ? "ip6tables" : "iptables", kinds[k],
				 end);
			if (access(out, X_OK) == 0)
				return true;
		}
	}
	return false;
}

/* ---- running them ---- */

/* A file of memory holds what the program reads, so nobody waits for a pipe. */
static int input_file(struct str input, int *out, struct err *e)
{
	auto_close int fd = memfd_create("modeld rules", MFD_CLOEXEC);
	if (fd < 0 || write(fd, input.p, input.n) != (ssize_t)input.n ||
	    lseek(fd, 0, SEEK_SET) < 0)
		return err_sys(e, "write the rules");
	*out = steal_fd(&fd);
	return 0;
}

static void read_words(int fd, char *out, size_t size)
{
	ssize_t n = pread(fd, out, size - 1, 0);
	out[n > 0 ? n : 0] = '\0';
	for (char *p = out; *p; p++)
		*p = *p == '\n' ? ' ' : *p;
}

/* Its exit status, or -1 with *e. */
static int run(char *const argv[], struct str input, struct err *e)
{
	posix_spawn_file_actions_t files;
	auto_close int in = -1;
	auto_close int out = memfd_create("modeld iptables", MFD_CLOEXEC);
	char *const env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	char said[160];
	pid_t pid;
	int status;
	if (input_file(input, &in, e))
		return -1;
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in, 0);
	posix_spawn_file_actions_adddup2(&files, out, 1);
	posix_spawn_file_actions_adddup2(&files, out, 2);
	int r = posix_spawn(&pid, argv[0], &files, NULL, argv, env);
	posix_spawn_file_actions_destroy(&files);
	if (r)
		return errno = r, err_sys(e, "start %s", argv[0]);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(e, "wait for %s", argv[0]);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	read_words(out, said, sizeof said);
	err_set(e, ERR_SYSTEM, "%s: %s", argv[0],
		said[0] ? said : "it failed without a word");
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* `iptables -w -t TABLE WHAT FROM [-j CHAIN]` */
static int command(bool is_ipv6, const struct hook *h, const char *what,
		   const char *on, const char *jump, struct err *e)
{
	char program[64];
	if (!find_program(is_ipv6, "", program))
		return err_set(e, ERR_SYSTEM,
			       "there is no program %s; install the package "
			       "iptables",
			       is_ipv6 ? "ip6tables" : "iptables");
	char *argv[] = { program,      "-w",	   "-t", (char *)h->table,
			 (char *)what, (char *)on, NULL, NULL,
			 NULL };
	if (jump) {
		argv[6] = "-j";
		argv[7] = (char *)jump;
	}
	return run(argv, STR(""), e);
}

/* ---- what they read ---- */

#define put(b, ...)                                    \
	do {                                           \
		int full = buf_printf(b, __VA_ARGS__); \
		assert(!full);                         \
	} while (0)

static void put_guard(const struct guard_rules *r, const char *own,
		      struct buf *b)
{
	static const char *const known[] = { "lo", "docker0", "docker_gwbridge",
					     "br-+" };
	put(b, "*raw\n:MODELD-GUARD - [0:0]\n");
	put(b, "-A MODELD-GUARD ! -d %s -j RETURN\n", own);
	put(b, "-A MODELD-GUARD -i %s -j RETURN\n", r->device);
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		put(b, "-A MODELD-GUARD -i %s -j RETURN\n", known[i]);
	for (size_t i = 0; r->networks && i < r->networks->n; i++)
		put(b, "-A MODELD-GUARD -i %s -j RETURN\n",
		    r->networks->all[i].bridge);
	put(b, "-A MODELD-GUARD -j DROP\nCOMMIT\n");
}

static void put_nat(const struct guard_rules *r, bool is_ipv6, struct buf *b)
{
	put(b, "*nat\n:MODELD-MASQ - [0:0]\n:MODELD-OPEN - [0:0]\n");
	for (size_t i = 0; r->networks && i < r->networks->n; i++) {
		const struct network *n = &r->networks->all[i];
		const char *gateway = networks_gateway(n);
		for (size_t k = 0; !n->is_internal && k < n->n_subnets; k++)
			if (n->subnets[k].is_ipv6 == is_ipv6)
				put(b,
				    "-A MODELD-MASQ -s %s -o %s -j "
				    "MASQUERADE\n",
				    n->subnets[k].cidr, r->device);
		if (!is_ipv6 && n->is_open && r->target && gateway[0])
			put(b,
			    "-A MODELD-OPEN -i %s -d %s -p tcp --dport %d -j "
			    "DNAT --to-destination %s\n",
			    n->bridge, gateway, ENDS_PORT, r->target);
	}
	put(b, "COMMIT\n");
}

static void put_refuse(const struct guard_rules *r, const char *inner,
		       struct buf *b)
{
	put(b, "*filter\n:MODELD-REFUSE - [0:0]\n");
	for (size_t i = 0; r->networks && i < r->networks->n; i++)
		if (r->networks->all[i].is_internal)
			put(b,
			    "-A MODELD-REFUSE -i %s -d %s -p tcp -j REJECT "
			    "--reject-with tcp-reset\n",
			    r->networks->all[i].bridge, inner);
	put(b, "COMMIT\n");
}

void guard_iptables_text(const struct guard_rules *r, bool is_ipv6,
			 struct buf *out)
{
	char own[INET6_ADDRSTRLEN + 4];
	const struct ends *a = r->ends;
	snprintf(own, sizeof own, "%s/%d",
		 is_ipv6 ? a->outer6_text : a->outer_text,
		 is_ipv6 ? ENDS_PREFIX6 : ENDS_PREFIX);
	put_guard(r, own, out);
	put_nat(r, is_ipv6, out);
	put_refuse(r, is_ipv6 ? a->inner6_text : a->inner_text, out);
}

/* ---- both ways ---- */

static int put_family(const struct guard_rules *r, bool is_ipv6, struct err *e)
{
	auto_buf struct buf text;
	char program[64];
	buf_init(&text, LIMIT_GUARD_BYTES);
	guard_iptables_text(r, is_ipv6, &text);
	if (!find_program(is_ipv6, "-restore", program))
		return err_set(e, ERR_SYSTEM,
			       "there is no program %s-restore; install the "
			       "package iptables",
			       is_ipv6 ? "ip6tables" : "iptables");
	char *argv[] = { program, "--noflush", "-w", NULL };
	if (run(argv, buf_str(&text), e))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(hooks); i++) {
		const struct hook *h = &hooks[i];
		/* -C: does the jump stand? */
		if (command(is_ipv6, h, "-C", h->from, h->chain, e) &&
		    command(is_ipv6, h, "-I", h->from, h->chain, e))
			return -1;
	}
	return 0;
}

int guard_iptables_put(const struct guard_rules *r, struct err *e)
{
	if (put_family(r, false, e) ||
	    (r->ends->has6 && put_family(r, true, e)))
		return -1;
	return 0;
}

/* Asking iptables would load its modules: the kernel says whether they are. */
static bool has_tables(bool is_ipv6)
{
	char c;
	auto_close int fd = open(is_ipv6 ? "/proc/net/ip6_tables_names"
					 : "/proc/net/ip_tables_names",
				 O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, &c, 1) == 1;
}

int guard_iptables_remove(struct err *e)
{
	for (int six = 0; six < 2; six++) {
		if (!has_tables(six))
			continue;
		for (size_t i = 0; i < ARRAY_LEN(hooks); i++) {
			const struct hook *h = &hooks[i];
			/* Each fails if there is nothing of it. */
			while (!command(six, h, "-D", h->from, h->chain, e))
				;
			if (command(six, h, "-F", h->chain, NULL, e) == 0 &&
			    command(six, h, "-X", h->chain, NULL, e))
				return -1;
		}
	}
	return 0;
}
