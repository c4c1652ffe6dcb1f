#include "docker/containers.h"

#include <arpa/inet.h>

bool containers_parse(struct str text, struct in6_addr *out)
{
	char z[INET6_ADDRSTRLEN];
	struct in_addr v4;
	if (!text.n || text.n >= sizeof z)
		return false;
	memcpy(z, text.p, text.n);
	z[text.n] = '\0';
	if (inet_pton(AF_INET6, z, out) == 1)
		return true;
	if (inet_pton(AF_INET, z, &v4) != 1)
		return false;
	memset(out, 0, sizeof *out);
	memset(&out->s6_addr[10], 0xff, 2);
	memcpy(&out->s6_addr[12], &v4, sizeof v4);
	return true;
}

static int compare(const void *a, const void *b)
{
	return memcmp(&((const struct container *)a)->address,
		      &((const struct container *)b)->address,
		      sizeof(struct in6_addr));
}

static void add(struct containers *c, struct str address, struct str id,
		struct str name)
{
	struct in6_addr a;
	if (!containers_parse(address, &a))
		return; /* "" of a network that it has no address in */
	/* Powers of two, so that a thousand cost ten reallocations. */
	if ((c->n & (c->n - 1)) == 0)
		c->all = xrealloc(c->all,
				  (c->n ? 2 * c->n : 1) * sizeof *c->all);
	struct container *it = &c->all[c->n++];
	*it = (struct container){ .address = a };
	memcpy(it->id, id.p, MIN(id.n, sizeof it->id - 1));
	it->name = str_dup(name);
}

/* The name that is its own: those with a second slash are links to it. */
static struct str name_of(const json_t *j)
{
	size_t i;
	json_t *it;
	json_array_foreach(json_object_get(j, "Names"), i, it)
	{
		struct str s = json_str(it);
		if (s.p && s.n && s.p[0] == '/' &&
		    str_find(str_tail(s, 1), '/') < 0)
			return str_tail(s, 1);
	}
	return STR("");
}

static int read_one(const json_t *j, struct containers *out, struct err *e)
{
	struct str id = { "", 0 };
	const char *key;
	json_t *it;
	if (json_get_str(j, "Id", &id, e))
		return -1;
	json_t *networks = json_object_get(
		json_object_get(j, "NetworkSettings"), "Networks");
	json_object_foreach(networks, key, it)
	{
		struct str v4 = { "", 0 }, v6 = { "", 0 };
		if (json_get_str(it, "IPAddress", &v4, e) ||
		    json_get_str(it, "GlobalIPv6Address", &v6, e))
			return -1;
		add(out, v4, id, name_of(j));
		add(out, v6, id, name_of(j));
	}
	return 0;
}

static void sort(struct containers *c)
{
	if (c->n)
		qsort(c->all, c->n, sizeof *c->all, compare);
}

int containers_read(const json_t *answer, struct containers *out, struct err *e)
{
	size_t i;
	json_t *it;
	*out = (struct containers){ 0 };
	if (!json_is_array(answer))
		return err_set(e, ERR_ENGINE,
			       "the Docker Engine's list of containers is "
			       "none");
	json_array_foreach(answer, i, it)
	{
		if (read_one(it, out, e)) {
			containers_fini(out);
			return -1;
		}
	}
	sort(out);
	return 0;
}

/* "172.17.0.2/16" */
static struct str before_slash(struct str s)
{
	ptrdiff_t at = str_find(s, '/');
	return at < 0 ? s : str_head(s, (size_t)at);
}

int containers_read_network(const json_t *answer, struct containers *out,
			    struct err *e)
{
	const char *id;
	json_t *it;
	json_t *all = json_object_get(answer, "Containers");
	*out = (struct containers){ 0 };
	json_object_foreach(all, id, it)
	{
		struct str v4 = { "", 0 }, v6 = { "", 0 }, name = { "", 0 };
		if (json_get_str(it, "IPv4Address", &v4, e) ||
		    json_get_str(it, "IPv6Address", &v6, e) ||
		    json_get_str(it, "Name", &name, e)) {
			containers_fini(out);
			return -1;
		}
		/* Other names are those of Docker's own endpoints. */
		if (strlen(id) != sizeof out->all->id - 1)
			continue;
		add(out, before_slash(v4), str_of(id), name);
		add(out, before_slash(v6), str_of(id), name);
	}
	sort(out);
	return 0;
}

void containers_fini(struct containers *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->all[i].name);
	free(c->all);
	*c = (struct containers){ 0 };
}

const struct container *containers_find(const struct containers *c,
					const struct in6_addr *address)
{
	struct container key = { .address = *address };
	const struct container *it =
		c->n ? bsearch(&key, c->all, c->n, sizeof *c->all, compare)
		     : NULL;
	if (!it)
		return NULL;
	const struct container *end = c->all + c->n;
	if ((it + 1 < end && compare(it, it + 1) == 0) ||
	    (it > c->all && compare(it, it - 1) == 0))
		return NULL;
	return it;
}
