#include "host.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#include "codec.h"

bool
host_is_domain(struct str s, bool high)
{
	char before = '.';

	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') || (high && (unsigned char)c > 0x7f);

		if (c == '.' ? before == '.' || before == '-' : c == '-' ? before == '.' : !letter)
			return false;
		before = c;
	}
	return before != '.' && before != '-';
}

bool
host_is_full_name(struct str s)
{
	struct str last = s;

	if (!host_is_domain(s, false) || !str_has(s, '.') || str_casestarts(s, "localhost."))
		return false;
	while (str_has(last, '.')) {
		size_t n = str_find(last, '.') + 1;

		last = str_from(last.p + n, last.len - n);
	}
	for (size_t i = 0; i < last.len; i++)
		if (last.p[i] < '0' || last.p[i] > '9')
			return true;
	return false;
}

static bool
is_ipv6(struct str s)
{
	char text[INET6_ADDRSTRLEN] = "";
	size_t zone = str_find(s, '%');
	struct in6_addr a;

	/* The colon is looked for first: most hosts are names, and each start of
	 * sendmail comes by here. */
	if (!str_has(s, ':') || zone >= sizeof text || zone + 1 == s.len)
		return false;
	memcpy(text, s.p, zone);
	return inet_pton(AF_INET6, text, &a) == 1;
}

bool
host_is_address(struct str s)
{
	char text[INET_ADDRSTRLEN] = "";
	struct in_addr a;

	if (s.len < sizeof text)
		memcpy(text, s.p, s.len);
	return is_ipv6(s) || (strlen(text) == s.len && inet_pton(AF_INET, text, &a) == 1);
}

/* Underscores are against RFC 952 and yet found in the names of inner networks. */
bool
host_is_server(struct str s)
{
	struct buf plain = { 0 };
	bool good;

	if (is_ipv6(s))
		return true;
	buf_addstr(&plain, s);
	for (size_t i = 0; i < plain.len; i++)
		if (plain.p[i] == '_')
			plain.p[i] = 'x';
	good = host_is_domain(buf_str(&plain), false);
	buf_free(&plain);
	return good;
}

static struct str
without_dot(struct str s)
{
	return s.len > 0 && s.p[s.len - 1] == '.' ? str_from(s.p, s.len - 1) : s;
}

bool
host_is_inside(struct str host, struct str domain)
{
	struct str h = without_dot(host), d = without_dot(domain);

	if (d.len == 0 || h.len < d.len || (h.len > d.len && h.p[h.len - d.len - 1] != '.'))
		return false;
	return str_caseeq(str_from(h.p + h.len - d.len, d.len), d);
}

bool
host_is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (str_caseis(str_of(host), "localhost"))
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

bool
host_split(struct str text, struct str *host, struct str *port)
{
	size_t end;
	uint64_t n;

	*host = text;
	*port = str_from(text.p, 0);
	if (host_is_server(text))
		return true;
	if (str_starts(text, "[")) {
		end = str_find(text, ']');
		if (end == text.len)
			return false;
		*host = str_from(text.p + 1, end - 1);
		text = str_from(text.p + end + 1, text.len - end - 1);
		if (!is_ipv6(*host))
			return false;
		if (text.len == 0)
			return true;
		end = 0;
	} else {
		end = str_find(text, ':');
		*host = str_from(text.p, end);
		if (end == text.len || !host_is_server(*host))
			return false;
	}
	*port = str_from(text.p + end + 1, text.len - end - 1);
	return text.p[end] == ':' && codec_number(*port, UINT64_MAX, &n);
}
