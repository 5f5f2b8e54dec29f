/* part: what a header says of the text behind it (RFC 2045), as far as that matters
 * to whoever must write it otherwise. */
#ifndef PART_H
#define PART_H

#include "buf.h"

enum part_form {
	PART_TEXT,              /* text/... and what says nothing */
	PART_DATA,              /* any other leaf */
	PART_MULTIPART,
	PART_MESSAGE,           /* a message with a header of its own */
	PART_SEALED,            /* as it is, or not at all: see sealed */
};

enum part_coding {
	PART_UNSAID,
	PART_7BIT,
	PART_8BIT,
	PART_BINARY,
	PART_QP,
	PART_BASE64,
	PART_UNKNOWN,
};

struct part {
	enum part_form form;
	enum part_coding coding;
	bool has_version;       /* MIME-Version */
	bool has_type;          /* Content-Type */
	bool is_digest;         /* its parts are messages where they say nothing */
	const char *sealed;     /* why its text may not be changed: "it is ..." */
	struct buf boundary;    /* of a multipart; "" where it has none */
};

/* Cuts the next field, with all its lines, off *rest, which is fields and nothing
 * else; name_len: octets of its name.  False at the end. */
bool part_next_field(struct str *rest, struct str *whole, size_t *name_len);
/* Is this line the first of a field? */
bool part_is_field(struct str line);

/* Is the text as it stands, without an encoding? */
bool part_is_identity(enum part_coding coding);
/* head: fields, each line ended.  in_digest: what is unsaid is a message (RFC 2046
 * section 5.1.5).  Fills *p, which part_free empties. */
void part_read(struct str head, bool in_digest, struct part *p);
/* As it is, or not at all: nothing in it is looked into. */
void part_seal(struct part *p, const char *reason);
void part_free(struct part *p);

#endif
