#include "recipients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <unistd.h>

#include "accounts.h"
#include "address.h"
#include "admit.h"
#include "codec.h"
#include "dsn.h"
#include "person.h"
#include "route.h"
#include "targets.h"

/* So many addresses in the place of one name tell a reader something; a whole
 * mailing list does not. */
#define REWRITE_MAX 100
/* Addresses beyond the limit that are held before the repeated ones are looked for. */
#define SLACK 1000

/* ---- the list ------------------------------------------------------------------- */

static void
free_recipient(struct recipient *r)
{
	free(r->address);
	free(r->orcpt);
}

void
recipients_clear(struct recipients *r)
{
	for (size_t i = 0; i < r->n; i++)
		free_recipient(&r->v[i]);
	r->n = 0;
}

void
recipients_free(struct recipients *r)
{
	recipients_clear(r);
	free(r->v);
	*r = (struct recipients){ 0 };
}

void
recipients_add(struct recipients *r, struct str spec, unsigned notify, struct str orcpt)
{
	if (r->n == r->room) {
		r->room = r->room > 0 ? r->room * 2 : 4;
		r->v = mem_grow(r->v, r->room, sizeof *r->v);
	}
	r->v[r->n++] = (struct recipient){ .address = mem_dup(spec), .notify = notify,
		.orcpt = orcpt.len > 0 ? mem_dup(orcpt) : NULL };
}

/* Keeps who is not marked, in order. */
static void
drop_marked(struct recipients *r, const bool *marked)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->n; i++) {
		if (marked[i])
			free_recipient(&r->v[i]);
		else
			r->v[kept++] = r->v[i];
	}
	r->n = kept;
}

static struct str *
addresses_of(const struct recipients *r, struct str *into)
{
	for (size_t i = 0; i < r->n; i++)
		into[i] = str_of(r->v[i].address);
	return into + r->n;
}

static void
drop_repeated(struct recipients *r)
{
	struct str *all = mem_grow(NULL, r->n + 1, sizeof *all);
	bool *repeated = mem_alloc(r->n + 1);

	addresses_of(r, all);
	address_find_repeated(all, r->n, repeated);
	drop_marked(r, repeated);
	free(all);
	free(repeated);
}

void
recipients_subtract(struct recipients *r, const struct recipients *off)
{
	size_t n = off->n + r->n;
	struct str *all = mem_grow(NULL, n + 1, sizeof *all);
	bool *repeated = mem_alloc(n + 1);

	/* Behind those who are taken off, each of theirs is a repetition. */
	addresses_of(r, addresses_of(off, all));
	address_find_repeated(all, n, repeated);
	drop_marked(r, repeated + off->n);
	free(all);
	free(repeated);
}

/* ---- one address ---------------------------------------------------------------------- */

void
directory_free(struct directory *d)
{
	aliases_free(&d->aliases);
	d->loaded = d->absent = false;
}

static enum outcome
load(struct directory *d, struct why *why)
{
	const char *path = d->config->aliases;
	enum outcome o = DONE;

	if (d->loaded)
		return DONE;
	d->absent = d->elsewhere && path[0] != '\0' && access(path, F_OK) < 0 && errno == ENOENT;
	if (path[0] != '\0' && !d->absent)
		o = aliases_load(&d->aliases, path, why);
	d->loaded = o == DONE;
	return o;
}

/* Does `[identity] root` get this name's mail? */
static bool
is_roots(const struct directory *d, struct str name)
{
	return d->config->root[0] != '\0' &&
	    (str_caseis(name, "root") || person_is_system(name));
}

/* The original recipient (RFC 3461 section 4.2), for reports about mail that
 * went on to another address; "" where it cannot be said. */
static void
name_original(const struct directory *d, struct str spec, struct buf *orcpt)
{
	struct buf whole = { 0 };

	buf_addstr(&whole, spec);
	address_qualify(&whole, str_of(d->config->domain));
	buf_adds(orcpt, "rfc822;");
	dsn_put_xtext(orcpt, buf_str(&whole));
	if (!dsn_is_orcpt(buf_str(orcpt)))
		buf_clear(orcpt);
	buf_free(&whole);
}

/* Adds what one target of from is in the end. */
static enum outcome
settle_target(struct directory *d, const struct recipient *from, struct str target,
    struct recipients *to, struct why *why)
{
	struct str name, original = str_of(from->address);
	struct buf spec = { 0 }, orcpt = { 0 };
	enum outcome o;

	/* Without localhost, where nobody else could deliver it; the domain comes below. */
	if (!aliases_is_name(target, &name))
		buf_addstr(&spec, target);
	else if (is_roots(d, name))
		buf_adds(&spec, d->config->root);
	else
		buf_addstr(&spec, name);
	if (from->orcpt != NULL)
		buf_adds(&orcpt, from->orcpt);
	else if (from->notify != 0 && !str_eq(buf_str(&spec), original))
		name_original(d, original, &orcpt);
	address_qualify(&spec, str_of(d->config->domain));
	if ((o = admit_recipient(buf_str(&spec), why)) == DONE)
		recipients_add(to, buf_str(&spec), from->notify, buf_str(&orcpt));
	buf_free(&spec);
	buf_free(&orcpt);
	return o;
}

enum outcome
directory_resolve(struct directory *d, const struct recipient *from, struct recipients *to,
    struct why *why)
{
	struct targets targets = { 0 };
	struct str name;
	enum outcome o;

	if (!aliases_is_name(str_of(from->address), &name))
		return settle_target(d, from, str_of(from->address), to, why);
	if ((o = load(d, why)) != DONE)
		return o;
	if (!aliases_has(&d->aliases, name))
		return settle_target(d, from, str_of(from->address), to, why);
	o = targets_find(&d->aliases, name, &targets, why);
	for (size_t i = 0; o == DONE && i < targets.n; i++)
		o = settle_target(d, from, str_of(targets.v[i]), to, why);
	targets_free(&targets);
	return o;
}

/* ---- all of them ------------------------------------------------------------------------ */

static enum outcome
limit(struct recipients *r, const struct config *c, struct why *why)
{
	drop_repeated(r);
	if (r->n <= c->max_recipients)
		return DONE;
	return refuse(why, EX_DATAERR, "over %u recipients, aliases included; the limit is "
	    "max-recipients in %s", c->max_recipients, c->path != NULL ? c->path : "the configuration");
}

enum outcome
recipients_settle(struct recipients *r, struct directory *d, struct why *why)
{
	struct recipients to = { 0 };
	enum outcome o = DONE;

	/* A header may hold one name half a million times, and behind it a list. */
	drop_repeated(r);
	for (size_t i = 0; o == DONE && i < r->n; i++) {
		o = directory_resolve(d, &r->v[i], &to, why);
		if (o == DONE && to.n >= 2 * (size_t)d->config->max_recipients + SLACK)
			o = limit(&to, d->config, why);
	}
	if (o == DONE)
		o = limit(&to, d->config, why);
	if (o == DONE) {
		recipients_free(r);
		*r = to;
	} else {
		recipients_free(&to);
	}
	return o;
}

/* ---- for people -------------------------------------------------------------------------- */

bool
directory_rewrite(void *arg, struct str name, struct buf *out)
{
	struct directory *d = arg;
	char *copy = mem_dup(name);
	struct recipient from = { .address = copy };
	struct recipients to = { 0 };
	struct buf same = { 0 };
	struct why why;
	bool changed;

	buf_addstr(&same, name);
	address_qualify(&same, str_of(d->config->domain));
	changed = directory_resolve(d, &from, &to, &why) == DONE;
	if (changed)
		drop_repeated(&to);
	changed = changed && to.n > 0 && to.n <= REWRITE_MAX &&
	    !(to.n == 1 && address_same(str_of(to.v[0].address), buf_str(&same)));
	for (size_t i = 0; changed && i < to.n; i++)
		buf_addf(out, "%s%s", i > 0 ? ",\n " : "", to.v[i].address);
	recipients_free(&to);
	buf_free(&same);
	free(copy);
	return changed;
}

/* By which rule an address is not what it was. */
static void
explain_rule(struct directory *d, struct str spec, FILE *out)
{
	const struct config *c = d->config;
	const struct alias *a;
	struct str name;

	if (!aliases_is_name(spec, &name))
		return;
	fprintf(out, "%s: ", codec_show(spec).p);
	if ((a = aliases_find(&d->aliases, name)) != NULL) {
		fprintf(out, "%s line %u: ", codec_show(str_of(d->aliases.path)).p, a->line);
		for (size_t i = 0; i < a->n; i++)
			fprintf(out, "%s%s", i > 0 ? ", " : "", codec_show(str_of(a->to[i].text)).p);
		fputc('\n', out);
	} else if (is_roots(d, name)) {
		fprintf(out, "[identity] root: %s\n", c->root);
	} else {
		fprintf(out, "[identity] domain: %s\n", c->domain);
	}
}

/* By which account a message goes there whose sender nobody has named; false where none
 * carries it. */
static bool
explain_way(const struct config *c, const char *address, FILE *out, struct why *why)
{
	const struct smarthost *s = &c->smarthost, *by;
	struct buf servers = { 0 };
	int i = route_in_view(c, s->from, address, why);

	fprintf(out, "  %s, ", codec_show(str_of(address)).p);
	if (i < 0) {
		fprintf(out, "by no account, from %s\n", s->from);
		return false;
	}
	by = config_account(c, (unsigned)i);
	accounts_put_servers(by, &servers);
	fprintf(out, "by %s%s%s, from %s\n", c->nmore > 0 ? by->name : "", c->nmore > 0 ? ": " : "",
	    buf_c(&servers), by->force_from ? by->from : s->from_header ? "the message's own From:" : s->from);
	buf_free(&servers);
	return true;
}

enum outcome
recipients_explain(struct directory *d, struct str text, FILE *out, struct why *why)
{
	struct recipient from = { 0 };
	struct recipients to = { 0 };
	struct buf spec = { 0 };
	struct str name;
	enum outcome o;

	if ((o = address_parse_one(text, &spec, why)) != DONE ||
	    (o = admit_recipient(buf_str(&spec), why)) != DONE ||
	    (aliases_is_name(buf_str(&spec), &name) && (o = load(d, why)) != DONE))
		goto out;
	explain_rule(d, buf_str(&spec), out);
	from.address = spec.p;
	if ((o = directory_resolve(d, &from, &to, why)) != DONE)
		goto out;
	drop_repeated(&to);
	for (size_t i = 0; i < to.n; i++)
		if (!explain_way(d->config, to.v[i].address, out, why))
			o = NEVER;
out:
	recipients_free(&to);
	buf_free(&spec);
	return o;
}
