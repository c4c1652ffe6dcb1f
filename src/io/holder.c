#include "io/holder.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TCP_LISTEN 0x0a

struct file_closer {
	FILE *f;
};

static void close_file(struct file_closer *c)
{
	if (c->f)
		fclose(c->f);
}

static void close_folder(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* The inode of the socket that listens on this port, or 0. */
static unsigned long find_inode(const char *table, int port)
{
	__attribute__((cleanup(close_file))) struct file_closer c = { fopen(
		table, "re") };
	char line[512];
	while (c.f && fgets(line, sizeof line, c.f)) {
		unsigned local, state;
		unsigned long inode;
		/*  sl local:port remote:port st tx:rx tr:when retr uid timeout
		 *  inode ... */
		if (sscanf(line,
			   " %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x "
			   "%*x:%*x %*x:%*x %*x %*d %*d %lu",
			   &local, &state, &inode) == 3 &&
		    (int)local == port && state == TCP_LISTEN)
			return inode;
	}
	return 0;
}

static bool has_socket(int pid, unsigned long inode)
{
	char path[64], want[64], got[64];
	snprintf(want, sizeof want, "socket:[%lu]", inode);
	snprintf(path, sizeof path, "/proc/%d/fd", pid);
	__attribute__((cleanup(close_folder))) DIR *d = opendir(path);
	for (struct dirent *f; d && (f = readdir(d));) {
		ssize_t n =
			readlinkat(dirfd(d), f->d_name, got, sizeof got - 1);
		if (n <= 0)
			continue;
		got[n] = '\0';
		if (strcmp(got, want) == 0)
			return true;
	}
	return false;
}

static void read_command(int pid, char *out, size_t n)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/comm", pid);
	__attribute__((cleanup(close_file))) struct file_closer c = { fopen(
		path, "re") };
	snprintf(out, n, "?");
	if (c.f && fgets(out, (int)n, c.f))
		out[strcspn(out, "\n")] = '\0';
}

int holder_find(int port, struct holder *out)
{
	unsigned long inode = find_inode("/proc/net/tcp", port);
	if (!inode)
		inode = find_inode("/proc/net/tcp6", port);
	if (!inode)
		return HOLDER_UNKNOWN;
	__attribute__((cleanup(close_folder))) DIR *d = opendir("/proc");
	for (struct dirent *p; d && (p = readdir(d));) {
		int pid = (int)strtol(p->d_name, NULL, 10);
		if (pid <= 0 || !has_socket(pid, inode))
			continue;
		out->pid = pid;
		read_command(pid, out->command, sizeof out->command);
		return 0;
	}
	return HOLDER_UNKNOWN;
}
