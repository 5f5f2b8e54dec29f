#include "srv.h"

#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "host.h"

#define HEADER_LEN 12           /* octets; RFC 1035 section 4.1.1 */
#define QUESTION_LEN 4          /* behind its name; section 4.1.2 */
#define RECORD_LEN 10           /* likewise, before its data; section 4.1.3 */
#define SRV_LEN 6               /* of SRV data before its target; RFC 2782 */

/* ---- one answer ----------------------------------------------------------------------- */

/* What is still to be read of it. */
struct answer {
	const unsigned char *base, *p, *end;
};

struct record {
	char owner[NS_MAXDNAME];
	unsigned type, class, len;
	const unsigned char *data;
};

static unsigned
two(const unsigned char *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* The name at p, as text; how many octets it takes there, -1 for none. */
static int
read_name(const struct answer *a, const unsigned char *p, char *name, size_t size)
{
	return dn_expand(a->base, a->end, p, name, (int)size);
}

static bool
read_record(struct answer *a, struct record *r)
{
	int len = read_name(a, a->p, r->owner, sizeof r->owner);

	if (len < 0 || a->end - a->p - len < RECORD_LEN)
		return false;
	a->p += len;
	r->type = two(a->p);
	r->class = two(a->p + 2);
	r->len = two(a->p + 8);
	r->data = a->p + RECORD_LEN;
	if ((size_t)(a->end - r->data) < r->len)
		return false;
	a->p = r->data + r->len;
	return true;
}

/* Past the header and the question; how many records follow, -1 where it is none. */
static int
begin_answer(struct answer *a)
{
	int records;

	/* An answer, and without an error. */
	if (a->end - a->base < HEADER_LEN || (a->base[2] & 0x80) == 0 || (a->base[3] & 0x0f) != 0)
		return -1;
	records = (int)two(a->base + 6);
	a->p = a->base + HEADER_LEN;
	for (unsigned i = two(a->base + 4); i > 0; i--) {
		char name[NS_MAXDNAME];
		int len = read_name(a, a->p, name, sizeof name);

		if (len < 0 || a->end - a->p - len < QUESTION_LEN)
			return -1;
		a->p += len + QUESTION_LEN;
	}
	return records;
}

static void
take_target(const struct answer *a, const struct record *r, bool implicit, struct srv *found)
{
	struct srv_target t = { .implicit = implicit };

	if (found->n == SRV_TARGETS_MAX || r->len <= SRV_LEN ||
	    read_name(a, r->data + SRV_LEN, t.host, sizeof t.host) != (int)r->len - SRV_LEN)
		return;
	t.priority = two(r->data);
	t.weight = two(r->data + 2);
	t.port = two(r->data + 4);
	/* "." is the empty name here: the service is not offered. */
	if (t.host[0] != '\0' && t.port != 0 && host_is_server(str_of(t.host)))
		found->v[found->n++] = t;
}

bool
srv_parse(struct str octets, const char *name, bool implicit, struct srv *found)
{
	const unsigned char *base = (const unsigned char *)octets.p;
	struct answer a = { base, base, base + octets.len };
	int records = begin_answer(&a);
	char owner[NS_MAXDNAME];
	struct record r;

	snprintf(owner, sizeof owner, "%s", name);
	/* Only what belongs to the name, or to what an alias before it leads to. */
	for (int i = 0; i < records; i++) {
		if (!read_record(&a, &r))
			return false;
		if (r.class != ns_c_in || !str_caseis(str_of(r.owner), owner))
			continue;
		if (r.type == ns_t_srv)
			take_target(&a, &r, implicit, found);
		else if (r.type == ns_t_cname && read_name(&a, r.data, owner, sizeof owner) < 0)
			return false;
	}
	return records >= 0;
}

/* ---- the order ------------------------------------------------------------------------ */

static int
by_priority(const void *a, const void *b)
{
	const struct srv_target *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	/* RFC 2782 puts those of weight 0 first, so that they have a small chance. */
	return (x->weight > 0) - (y->weight > 0);
}

/* Which of the n, by weight and chance. */
static unsigned
draw(const struct srv_target *v, unsigned n, uint32_t number)
{
	uint32_t sum = 0, mark;
	unsigned i = 0;

	for (unsigned j = 0; j < n; j++)
		sum += v[j].weight;
	mark = number % (sum + 1);
	sum = v[0].weight;
	while (sum < mark)
		sum += v[++i].weight;
	return i;
}

void
srv_order(struct srv_target *v, unsigned n, uint32_t (*chance)(void))
{
	qsort(v, n, sizeof *v, by_priority);
	for (unsigned i = 0; i < n; i++) {
		unsigned same = 1, chosen;
		struct srv_target t;

		while (i + same < n && v[i + same].priority == v[i].priority)
			same++;
		chosen = i + draw(v + i, same, chance());
		t = v[chosen];
		memmove(&v[i + 1], &v[i], (chosen - i) * sizeof *v);
		v[i] = t;
	}
}

static uint32_t
any_number(void)
{
	uint32_t n = 0;

	/* It only spreads the load: none at all would do. */
	if (getrandom(&n, sizeof n, GRND_NONBLOCK) != sizeof n)
		n = 0;
	return n;
}

/* ---- asking --------------------------------------------------------------------------- */

/* Appends what one service's record says; 0, or the resolver's error. */
static int
ask(res_state resolver, const char *service, const char *domain, bool implicit, struct srv *found)
{
	unsigned char *answer = mem_alloc(NS_MAXMSG);
	unsigned before = found->n;
	struct buf name = { 0 };
	int len, error = 0;

	buf_addf(&name, "%s.%s", service, domain);
	if (name.len > 1 && name.p[name.len - 1] == '.')
		name.p[--name.len] = '\0';
	len = res_nquery(resolver, buf_c(&name), ns_c_in, ns_t_srv, answer, NS_MAXMSG);
	if (len < 0)
		error = resolver->res_h_errno;
	else if (!srv_parse(str_from(answer, (size_t)len), buf_c(&name), implicit, found))
		error = NO_RECOVERY;
	srv_order(found->v + before, found->n - before, any_number);
	buf_free(&name);
	free(answer);
	return error;
}

static bool
is_trouble(int error)
{
	return error != 0 && error != HOST_NOT_FOUND && error != NO_DATA;
}

enum outcome
srv_find(const char *domain, struct srv *found, struct why *why)
{
	struct __res_state resolver = { 0 };
	int first, second;

	*found = (struct srv){ 0 };
	if (res_ninit(&resolver) < 0)
		return later(why, SCOPE_SERVER, "4.4.3", "cannot ask for the servers of %s: this machine's "
		    "resolver cannot be set up", domain);
	first = ask(&resolver, "_submissions._tcp", domain, true, found);
	second = ask(&resolver, "_submission._tcp", domain, false, found);
	res_nclose(&resolver);
	if (found->n > 0)
		return DONE;
	if (is_trouble(first) || is_trouble(second))
		return later(why, SCOPE_SERVER, "4.4.3", "cannot ask for the servers of %s: %s; check this "
		    "machine's network and name servers", domain,
		    hstrerror(is_trouble(first) ? first : second));
	return later(why, SCOPE_SERVER, "4.4.4", "%s names no server for submission in DNS (SRV "
	    "_submissions._tcp, _submission._tcp); name the server itself in host", domain);
}
