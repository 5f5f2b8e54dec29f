#include "bearer.h"

#include <string.h>

#define CTRL_A "\x01"
#define ROOM 64                 /* octets for the words around user, host and token */

bool
bearer_is_token(struct str token)
{
	for (size_t i = 0; i < token.len; i++)
		if (token.p[i] <= ' ' || token.p[i] > '~')
			return false;
	return token.len > 0;
}

/* saslname of RFC 5801 section 4: "," and "=" have meanings of their own. */
static void
put_name(struct buf *out, struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		if (name.p[i] == ',')
			buf_adds(out, "=2C");
		else if (name.p[i] == '=')
			buf_adds(out, "=3D");
		else
			buf_addc(out, name.p[i]);
	}
}

void
bearer_put_oauth(struct buf *out, struct str user, const char *host, unsigned port,
    struct str token)
{
	buf_reserve(out, 3 * user.len + strlen(host) + token.len + ROOM);
	buf_adds(out, "n,a=");
	put_name(out, user);
	buf_addf(out, "," CTRL_A "host=%s" CTRL_A "port=%u" CTRL_A "auth=Bearer ", host, port);
	buf_addstr(out, token);
	buf_adds(out, CTRL_A CTRL_A);
}

void
bearer_put_xoauth2(struct buf *out, struct str user, struct str token)
{
	buf_reserve(out, user.len + token.len + ROOM);
	buf_adds(out, "user=");
	buf_addstr(out, user);
	buf_adds(out, CTRL_A "auth=Bearer ");
	buf_addstr(out, token);
	buf_adds(out, CTRL_A CTRL_A);
}

struct str
bearer_status(struct str json)
{
	static const char key[] = "\"status\"";
	struct str none = { 0 }, rest;
	const char *at = json.len > 0 ? memmem(json.p, json.len, key, strlen(key)) : NULL;
	size_t n = 0;

	if (at == NULL)
		return none;
	at += strlen(key);
	rest = str_trim(str_from(at, json.len - (size_t)(at - json.p)));
	if (!str_starts(rest, ":"))
		return none;
	rest = str_trim(str_from(rest.p + 1, rest.len - 1));
	/* A word in quotes, or a bare number. */
	if (str_starts(rest, "\"")) {
		rest = str_from(rest.p + 1, rest.len - 1);
		n = str_find(rest, '"');
		return n < rest.len ? str_from(rest.p, n) : none;
	}
	while (n < rest.len && rest.p[n] >= '0' && rest.p[n] <= '9')
		n++;
	return str_from(rest.p, n);
}
