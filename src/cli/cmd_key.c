/* API keys: made, shown and taken away in their file, which modeld reads. The
 * key itself is on stdout, once, alone; it stands nowhere else. */
#include "base/paths.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/table.h"
#include "cli/term.h"
#include "model/keyfile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

/* "30d" too, which Go's durations lack; a moment as it stands. */
static int read_expiry(const char *text, int64_t *out, struct err *e)
{
	struct str s = str_of(text);
	int64_t left;
	uint64_t days;
	struct err unused;
	if (keyfile_parse_time(s, out, &unused) == 0)
		return 0;
	if (str_ends(s, "d") && str_to_u64(str_head(s, s.n - 1), &days) &&
	    days && days < 100000)
		left = (int64_t)days * 86400;
	else if (!human_parse_duration(s, &left) || left <= 0)
		return err_set(e, ERR_USAGE,
			       "--expires: '%s' is neither a time left (30d, "
			       "12h) nor a moment (2027-01-31T18:00:00Z)",
			       text);
	*out = (int64_t)time(NULL) + left;
	return 0;
}

static int read_rate(const struct cmd_line *in, const char *flag, uint64_t *out,
		     struct err *e)
{
	const char *text = cmd_text(in, flag);
	if (!text)
		return 0;
	if (!str_to_u64(str_of(text), out) || !*out || *out > 1000000000)
		return err_set(e, ERR_USAGE,
			       "--%s: '%s' is not a number from 1 to 10^9",
			       flag, text);
	return 0;
}

static int read_what(const struct cmd_line *in, struct keyfile_key *k,
		     struct err *e)
{
	const char *classes = cmd_text(in, "classes");
	const char *models = cmd_text(in, "models");
	const char *expires = cmd_text(in, "expires");
	if (keyfile_check_name(in->args[1], e))
		return -1;
	memcpy(k->name, in->args[1], strlen(in->args[1]) + 1);
	k->classes = KEYFILE_INFER;
	if (classes && keyfile_parse_classes(str_of(classes), &k->classes, e))
		return err_wrap(e, "--classes");
	if (expires && read_expiry(expires, &k->expires_s, e))
		return -1;
	if (read_rate(in, "requests-per-minute", &k->requests_per_minute, e) ||
	    read_rate(in, "tokens-per-minute", &k->tokens_per_minute, e) ||
	    read_rate(in, "parallel", &k->parallel, e))
		return -1;
	if (models && keyfile_parse_models(str_of(models), &k->models, e))
		return err_wrap(e, "--models");
	return 0;
}

static int add_to(void *ctx, struct keyfile *f, struct err *e)
{
	return keyfile_add(f, ctx, e);
}

/* The default file's folder may not be there yet. */
static int make_folder(const char *path, struct err *e)
{
	auto_free char *part = xstrdup(path);
	for (char *p = strchr(part + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(part, 0755) && errno != EEXIST)
			return err_sys(e, "make %s", part);
		*p = '/';
	}
	return 0;
}

static int add(const struct cmd_line *in, const char *path, struct err *e)
{
	struct keyfile_key k = { 0 };
	char text[KEYFILE_KEY_BYTES];
	if (read_what(in, &k, e) || keyfile_make_key(text, e) ||
	    (!cmd_text(in, "file") && make_folder(path, e)))
		return -1;
	k.hash = digest_of(str_of(text));
	if (keyfile_change(path, add_to, &k, e)) {
		keyfile_key_fini(&k);
		return -1;
	}
	term_printf("%s\n", text);
	term_flush();
	fprintf(stderr,
		"This key is shown only now; %s has its hash.\n"
		"modeld asks for keys with \"keys\": \"%s\" in its "
		"configuration, and reads\nthe file again at SIGHUP "
		"(systemctl reload modeld).\n",
		path, path);
	return 0;
}

static int remove_from(void *ctx, struct keyfile *f, struct err *e)
{
	const char *name = ctx;
	if (keyfile_remove(f, name))
		return 0;
	return err_set(e, ERR_NOT_FOUND,
		       "there is no key '%s'; 'docker model key list' shows "
		       "those there are",
		       name);
}

static int rm(const struct cmd_line *in, const char *path, struct err *e)
{
	auto_free char *name = xstrdup(in->args[1]);
	if (keyfile_change(path, remove_from, name, e))
		return -1;
	fprintf(stderr,
		"Key '%s' is removed; modeld knows it until it reads "
		"the file again, at SIGHUP.\n",
		name);
	return 0;
}

static void put_rate(struct table *t, uint64_t n)
{
	char text[24];
	snprintf(text, sizeof text, "%" PRIu64, n);
	table_put(t, n ? str_of(text) : STR("-"));
}

static void put_key(struct table *t, const struct keyfile_key *k)
{
	char classes[KEYFILE_CLASSES_BYTES], expires[KEYFILE_TIME_BYTES];
	auto_buf struct buf models;
	buf_init(&models, 1 << 20);
	for (char **m = k->models; m && *m; m++)
		if (buf_printf(&models, "%s%s", m == k->models ? "" : ",", *m))
			break;
	table_put(t, str_of(k->name));
	table_put(t, str_of(keyfile_classes_text(k->classes, classes)));
	table_put(t, k->models ? buf_str(&models) : STR("*"));
	table_put(t, !k->expires_s ? STR("never")
				   : str_of(keyfile_time_text(k->expires_s,
							      expires)));
	put_rate(t, k->requests_per_minute);
	put_rate(t, k->tokens_per_minute);
	put_rate(t, k->parallel);
}

static int list(const char *path, struct err *e)
{
	static const char *const titles[] = { "NAME",	      "CLASSES",
					      "MODELS",	      "EXPIRES",
					      "REQUESTS/MIN", "TOKENS/MIN",
					      "PARALLEL",     NULL };
	struct keyfile f;
	auto_(table) t = table_new(titles);
	int got = keyfile_read(path, &f, e);
	for (size_t i = 0; i < f.n; i++)
		put_key(t, &f.keys[i]);
	keyfile_fini(&f);
	if (got < 0)
		return -1;
	return table_print(t, e);
}

int cmd_key(const struct cmd_line *in, struct err *e)
{
	const char *file = cmd_text(in, "file");
	auto_free char *path = file ? xstrdup(file) : paths_keys();
	const char *what = in->args[0];
	if (!strcmp(what, "list") && in->n_args == 1)
		return list(path, e);
	if (!strcmp(what, "add") && in->n_args == 2)
		return add(in, path, e);
	if (!strcmp(what, "rm") && in->n_args == 2)
		return rm(in, path, e);
	return err_set(e, ERR_USAGE,
		       "'docker model key' takes 'add NAME', 'list' or 'rm "
		       "NAME'");
}
