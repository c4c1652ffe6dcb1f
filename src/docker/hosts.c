#include "docker/hosts.h"
#include "base/limits.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>

#define MARK " # modeld"
#define MARK_NEWLINE " # modeld, newline before"

enum kind { FOREIGN, UNMARKED, MARKED, MARKED_NEWLINE };

/* ---- lines and their fields ---- */

/* isspace() of the C locale. */
static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct str take_field(struct str *rest)
{
	size_t a = 0;
	while (a < rest->n && is_space(rest->p[a]))
		a++;
	size_t b = a;
	while (b < rest->n && !is_space(rest->p[b]))
		b++;
	struct str field = { rest->p + a, b - a };
	*rest = str_tail(*rest, b);
	return field;
}

/* What a resolver reads of a line. */
static struct str readable(struct str line)
{
	ptrdiff_t end = str_find(line, '#');
	if (end >= 0)
		line = str_head(line, (size_t)end);
	end = str_find(line, '\0');
	return end < 0 ? line : str_head(line, (size_t)end);
}

/* A newline at its end does not matter: it ends a field like a space. */
static bool line_has(struct str line, const char *name)
{
	struct str rest = readable(line), field;
	if (rest.n <= strlen(name))
		return false;
	take_field(&rest);
	while ((field = take_field(&rest)).n)
		if (str_eq_nocase(field, name))
			return true;
	return false;
}

bool hosts_has(struct str file, const char *name)
{
	struct str line;
	while (str_split(&file, '\n', &line))
		if (line_has(line, name))
			return true;
	return false;
}

/* ---- which address ---- */

static bool parse_address(struct str text, struct in_addr *v4,
			  struct in6_addr *v6, int *family)
{
	char z[INET6_ADDRSTRLEN];
	if (!text.n || text.n >= sizeof z)
		return false;
	memcpy(z, text.p, text.n);
	z[text.n] = '\0';
	*family = AF_INET;
	if (inet_pton(AF_INET, z, v4) == 1)
		return true;
	*family = AF_INET6;
	return inet_pton(AF_INET6, z, v6) == 1;
}

static const struct hosts_net *find_net(const struct hosts_rule *r,
					struct in_addr a)
{
	for (size_t i = 0; i < r->n_nets; i++)
		if ((a.s_addr & r->nets[i].mask.s_addr) ==
		    r->nets[i].subnet.s_addr)
			return &r->nets[i];
	return NULL;
}

const char *hosts_address(struct str file, const char *hostname,
			  const struct hosts_rule *r)
{
	struct str line;
	const struct hosts_net *net = NULL;
	size_t v4s = 0, v6s = 0, inside = 0;
	while (hostname[0] && r->address && str_split(&file, '\n', &line)) {
		struct in_addr v4;
		struct in6_addr v6;
		int family;
		if (!line_has(line, hostname) ||
		    !parse_address(take_field(&line), &v4, &v6, &family))
			continue;
		if (family == AF_INET6) {
			v6s += !IN6_IS_ADDR_LOOPBACK(&v6);
			continue;
		}
		if (ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET)
			continue;
		const struct hosts_net *of = find_net(r, v4);
		v4s++;
		inside += of != NULL;
		net = net ? net : of;
	}
	if (v4s && inside == v4s)
		return net->gateway;
	return !v4s && v6s && r->address6 ? r->address6 : r->address;
}

/* ---- our lines ---- */

static bool is_listed(const char *const *list, struct str address)
{
	for (; list && *list; list++)
		if (str_eq(address, *list))
			return true;
	return false;
}

/* The next line with its newline, if it has one. */
static bool take_line(struct str *rest, struct str *line)
{
	ptrdiff_t end = str_find(*rest, '\n');
	*line = end < 0 ? *rest : str_head(*rest, (size_t)end + 1);
	*rest = str_tail(*rest, line->n);
	return line->n > 0;
}

/* `line` with its newline. We never write one without. */
static enum kind kind_of(struct str line, const struct hosts_rule *r,
			 struct str *address)
{
	struct in_addr v4;
	struct in6_addr v6;
	int family;
	bool is_whole = str_ends(line, "\n");
	line = str_head(line, line.n - is_whole);
	ptrdiff_t tab = str_find(line, '\t');
	if (tab < 0)
		return FOREIGN;
	*address = str_head(line, (size_t)tab);
	struct str rest = str_tail(line, (size_t)tab + 1);
	if (!str_starts(rest, r->name) ||
	    !parse_address(*address, &v4, &v6, &family))
		return FOREIGN;
	rest = str_tail(rest, strlen(r->name));
	if (str_eq(rest, MARK))
		return MARKED;
	if (str_eq(rest, MARK_NEWLINE))
		return MARKED_NEWLINE;
	return !rest.n && is_whole && is_listed(r->ours, *address) ? UNMARKED
								   : FOREIGN;
}

static bool is_taken(struct str file, const struct hosts_rule *r)
{
	struct str line, address;
	while (take_line(&file, &line))
		if (line_has(line, r->name) &&
		    kind_of(line, r, &address) == FOREIGN)
			return true;
	return false;
}

/* Takes our lines out, but for one that says `keep`; was there one? */
static bool strip(struct buf *file, const char *keep,
		  const struct hosts_rule *r, struct hosts_edit *out)
{
	bool is_kept = false;
	struct str rest = buf_str(file), line, address;
	size_t to = 0;
	while (take_line(&rest, &line)) {
		enum kind k = kind_of(line, r, &address);
		if (k != FOREIGN && keep && !is_kept && str_eq(address, keep)) {
			is_kept = true;
			k = FOREIGN;
		}
		if (k == FOREIGN) {
			memmove(file->p + to, line.p, line.n);
			to += line.n;
			continue;
		}
		out->unmarked += k == UNMARKED;
		if (k == MARKED_NEWLINE && !rest.n && to)
			to--;
		out->at = MIN(out->at, to);
	}
	buf_cut(file, to);
	return is_kept;
}

static void append(struct buf *file, const char *address,
		   const struct hosts_rule *r)
{
	bool joins = file->n && file->p[file->n - 1] != '\n';
	bool is_known = is_listed(r->ours, str_of(address));
	const char *mark = joins ? MARK_NEWLINE : is_known ? "" : MARK;
	int full = buf_printf(file, "%s%s\t%s%s\n", joins ? "\n" : "", address,
			      r->name, mark);
	assert(!full);
}

int hosts_apply(struct buf *file, const char *hostname,
		const struct hosts_rule *r, struct hosts_edit *out)
{
	size_t n = file->n;
	*out = (struct hosts_edit){ .is_taken = is_taken(buf_str(file), r),
				    .at = SIZE_MAX };
	const char *address =
		out->is_taken ? NULL
			      : hosts_address(buf_str(file), hostname, r);
	bool is_there = strip(file, address, r, out);
	if (address && !is_there) {
		out->at = MIN(out->at, file->n);
		append(file, address, r);
	}
	if (out->at != SIZE_MAX)
		return 0;
	out->at = n;
	return HOSTS_SAME;
}
