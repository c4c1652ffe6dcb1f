#include "docker/names_state.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "docker/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define FRESH_FILE NAMES_STATE_FILE ".new"

static void take(struct names_state *st, const json_t *j)
{
	const char *root = json_string_value(json_object_get(j, "root"));
	const char *name = json_string_value(json_object_get(j, "name"));
	json_t *address;
	size_t i;
	if (root && root[0] == '/')
		st->root = xstrdup(root);
	if (name && name[0])
		st->name = xstrdup(name);
	json_array_foreach(json_object_get(j, "addresses"), i, address)
	{
		if (json_is_string(address))
			names_state_add(st, json_string_value(address));
	}
}

static int read_json(json_t **out, struct err *e)
{
	auto_close int fd =
		open(NAMES_STATE_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	auto_buf struct buf text;
	buf_init(&text, LIMIT_NAMES_STATE_BYTES);
	if (fd < 0)
		return errno == ENOENT ? 0
				       : err_sys(e, "read " NAMES_STATE_FILE);
	int got = buf_read(&text, fd);
	if (got == BUF_FULL)
		return err_set(e, ERR_CORRUPT,
			       NAMES_STATE_FILE " is too large");
	if (got)
		return err_sys(e, "read " NAMES_STATE_FILE);
	if (json_parse(buf_str(&text), out, e))
		return err_wrap(e, NAMES_STATE_FILE);
	return 0;
}

void names_state_read(struct names_state *st)
{
	auto_json *j = NULL;
	struct err e;
	*st = (struct names_state){ 0 };
	if (read_json(&j, &e))
		log_warn("what was remembered is lost error=\"%s\"", e.msg);
	else if (j)
		take(st, j);
}

void names_state_fini(struct names_state *st)
{
	free(st->root);
	free(st->name);
	for (size_t i = 0; i < ARRAY_LEN(st->addresses); i++)
		free(st->addresses[i]);
	*st = (struct names_state){ 0 };
}

void names_state_add(struct names_state *st, const char *address)
{
	size_t n = 0;
	for (; st->addresses[n]; n++)
		if (strcmp(st->addresses[n], address) == 0)
			return;
	if (n == LIMIT_HOSTS_FORMER) {
		free(st->addresses[0]);
		memmove(st->addresses, st->addresses + 1,
			n * sizeof st->addresses[0]);
		n--;
	}
	st->addresses[n] = xstrdup(address);
}

static json_t *to_json(const struct names_state *st)
{
	json_t *j = json_object(), *list = json_array();
	if (st->root)
		json_object_set_new(j, "root", json_string(st->root));
	if (st->name)
		json_object_set_new(j, "name", json_string(st->name));
	for (size_t i = 0; st->addresses[i]; i++)
		json_array_append_new(list, json_string(st->addresses[i]));
	json_object_set_new(j, "addresses", list);
	return j;
}

int names_state_write(const struct names_state *st, struct err *e)
{
	if (service_make_folder(NAMES_STATE_FILE, e))
		return -1;
	auto_json *j = to_json(st);
	auto_free char *text = json_text(j);
	auto_close int fd = open(
		FRESH_FILE,
		O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(e, "create " FRESH_FILE);
	size_t n = strlen(text);
	if (write(fd, text, n) != (ssize_t)n || fsync(fd) < 0)
		return err_sys(e, "write " FRESH_FILE);
	if (rename(FRESH_FILE, NAMES_STATE_FILE) < 0)
		return err_sys(e, "replace " NAMES_STATE_FILE);
	return 0;
}

void names_state_remove(void)
{
	if (unlink(NAMES_STATE_FILE) < 0 && errno != ENOENT)
		log_warn("what was remembered stays file=" NAMES_STATE_FILE
			 " error=\"%s\"",
			 strerror(errno));
}
