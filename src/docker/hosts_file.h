/* hosts_file.h - applies a hosts_rule to one hosts file, in place.
 *
 * The file may be a container's to write, so nothing of it is trusted: no link
 * is followed, only a regular file is opened, no more than LIMIT_HOSTS_BYTES is
 * read. The inode is kept, since it is mounted in the container; lines are
 * appended in one write, and taken out with pwrite and ftruncate. What is right
 * already is not opened for writing. */
#pragma once
#include "base/err.h"
#include "docker/hosts.h"

struct hosts_file {
	int dir;	  /* borrowed; the folder that the file lies in */
	const char *name; /* in that folder */
	/* The folder is a container's of Docker Engine's: its hostname and its
	 * user's own hosts entries stand beside the file. */
	bool is_container;
};

struct hosts_file_look {
	size_t bytes;	 /* how many were read */
	bool is_changed; /* by us, now */
	bool is_taken;	 /* the user's own line names the host */
};

enum hosts_file_outcome { HOSTS_FILE_ABSENT = 1 };

/* May give HOSTS_FILE_ABSENT, also for a file without a byte that somebody has
 * open for writing. *out is set in every case. */
must_use int hosts_file_apply(const struct hosts_file *f,
			      const struct hosts_rule *r,
			      struct hosts_file_look *out, struct err *e);
