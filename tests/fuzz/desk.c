/* Any octets from the other end of the counter: however they come, the frames are
 * the same, none is longer than a frame may be, and memory has a bound; what
 * stands in them is either understood, and then the same again when it is written,
 * or refused.  The first octet says how the stream is cut. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "desk.h"
#include "settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static FILE *nowhere;

static void
insist(bool promise)
{
	if (!promise)
		abort();
}

static void
open_pair(struct desk *d, int *theirs)
{
	int pair[2];

	insist(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	*d = (struct desk){ .fd = pair[0] };
	*theirs = pair[1];
}

/* ---- frames --------------------------------------------------------------------- */

static void
note_frame(const struct desk *d, const struct desk_frame *f, struct buf *seen)
{
	insist(f->text.len <= DESK_FRAME_MAX && d->in.cap <= 3 * DESK_FRAME_MAX);
	buf_addf(seen, "%c%zu:", f->kind, f->text.len);
	buf_addstr(seen, f->text);
}

/* What is here of frames; false when no more can come. */
static bool
drain(struct desk *d, bool at_end, struct buf *seen)
{
	struct desk_frame f;
	enum desk_got got;
	bool news = desk_has_news(d);

	while ((got = desk_read(d, 0, &f)) == DESK_FRAME) {
		insist(news);
		note_frame(d, &f, seen);
		news = desk_has_news(d);
	}
	insist(news == (got != DESK_SILENT));
	insist(got == DESK_BROKEN || got == (at_end ? DESK_CLOSED : DESK_SILENT));
	if (got == DESK_BROKEN)
		buf_addc(seen, '!');
	return got == DESK_SILENT;
}

/* All of it, in pieces that follow from cuts; 0: in as few as there can be. */
static void
hear(struct str said, uint32_t cuts, struct buf *seen)
{
	struct desk d;
	int theirs;
	bool more = true;

	open_pair(&d, &theirs);
	while (said.len > 0 && more) {
		size_t n = said.len < 16384 ? said.len : 16384;

		if (cuts != 0) {
			cuts = cuts * 1664525 + 1013904223;
			n = 1 + (cuts >> 16) % (cuts % 3 == 0 ? 5 : n);
		}
		n = n < said.len ? n : said.len;
		insist(send(theirs, said.p, n, MSG_NOSIGNAL) == (ssize_t)n);
		said = str_from(said.p + n, said.len - n);
		more = drain(&d, false, seen);
	}
	close(theirs);
	if (more)
		drain(&d, true, seen);
	desk_close(&d);
}

/* ---- what stands in them ----------------------------------------------------------- */

static void
check_words(struct str text)
{
	struct buf room = { 0 };
	char **words;

	if (desk_read_words(text, &room, &words)) {
		size_t n = 0, len = 0;

		for (; words[n] != NULL; n++)
			len += strlen(words[n]) + 1;
		insist(n > 0 && n <= DESK_WORDS_MAX && len == room.len);
		/* The last line may or may not have its end. */
		insist(len == text.len || len == text.len + 1);
		free(words);
	} else {
		insist(words == NULL);
	}
	buf_free(&room);
}

static void
check_end(struct str text)
{
	struct buf again = { 0 };
	bool dialogue;
	long wait;

	if (desk_read_end(text, &wait, &dialogue)) {
		insist(wait >= 0 && (wait > 0) == (text.len > 0) && (wait > 0 || !dialogue));
		if (wait > 0)
			buf_addf(&again, "wait %ld%s", wait, dialogue ? " dialogue" : "");
		/* But for zeros before the number. */
		insist(again.len <= text.len);
	}
	buf_free(&again);
}

static void
check_settings(struct str text)
{
	struct buf once = { 0 }, twice = { 0 };
	struct config c, again;
	struct why why = { 0 };
	enum outcome o = settings_read(text, &c, &why);

	insist(o == DONE || (o == NEVER && why.text[0] != '\0'));
	if (o == DONE) {
		insist(c.path[0] != '\0' && c.domain[0] != '\0' && c.smarthost.from[0] != '\0');
		settings_write(&c, &once);
		insist(once.len < DESK_FRAME_MAX);
		insist(settings_read(buf_str(&once), &again, &why) == DONE);
		settings_write(&again, &twice);
		insist(str_eq(buf_str(&once), buf_str(&twice)));
		config_free(&again);
	}
	config_free(&c);
	buf_free(&once);
	buf_free(&twice);
}

/* ---- a caller's program -------------------------------------------------------------- */

/* As much as a socket holds at once: the rest would wait for a reader. */
static void
call(struct str said, bool greet)
{
	struct buf settings = { 0 };
	struct why why = { 0 };
	struct desk d;
	int theirs;
	char id[ENVELOPE_ID_LEN + 1];
	enum outcome o = DONE;

	open_pair(&d, &theirs);
	insist(send(theirs, said.p, said.len, MSG_NOSIGNAL) == (ssize_t)said.len);
	shutdown(theirs, SHUT_WR);
	if (greet) {
		o = desk_greet(&d, "/run/subpost/socket", &settings, &why);
		insist(o == DONE || why.text[0] != '\0' || why.exit != 0);
		insist(o == DONE || settings.len == 0);
	}
	for (int i = 0; i < 3 && o == DONE; i++) {
		o = desk_await(&d, nowhere, nowhere, id, &why);
		insist(id[0] == '\0' || envelope_is_id(str_of(id)));
		insist((outcome_exit(o, &why) == 0) == (o == DONE) && !str_has_control(str_of(why.text)));
	}
	desk_close(&d);
	close(theirs);
	buf_free(&settings);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = { 0 }, cut = { 0 };
	struct str said;

	if (size == 0)
		return 0;
	if (nowhere == NULL)
		insist((nowhere = fopen("/dev/null", "w")) != NULL);
	said = str_from(data + 1, size - 1);
	hear(said, 0, &whole);
	hear(said, data[0] + 1u, &cut);
	insist(str_eq(buf_str(&whole), buf_str(&cut)));
	call(said, (data[0] & 1) != 0);
	/* Behind the head of the first frame, so that a corpus serves for all. */
	said = str_from(said.p + (said.len < 4 ? said.len : 4), said.len < 4 ? 0 : said.len - 4);
	check_words(said);
	check_end(said);
	if (str_starts(said, DESK_HELLO_TEXT "\n"))
		said = str_from(said.p + sizeof DESK_HELLO_TEXT, said.len - sizeof DESK_HELLO_TEXT);
	check_settings(said);
	buf_free(&whole);
	buf_free(&cut);
	return 0;
}
