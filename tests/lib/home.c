#include "home.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/file.h"

char home[] = "/tmp/home-XXXXXX";

int
home_make(void **state)
{
	(void)state;
	umask(022);
	return mkdtemp(home) != NULL ? 0 : -1;
}

int
home_remove(void **state)
{
	(void)state;
	return rmdir(home);
}

char *
home_path(const char *name)
{
	struct buf path = { 0 };

	buf_addf(&path, "%s/%s", home, name);
	return path.p;
}

void
home_write(const char *name, struct str text, mode_t mode)
{
	char *path = home_path(name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int r = fd < 0 ? -1 : file_write(fd, text) + fchmod(fd, mode);

	assert(r == 0);
	close(fd);
	free(path);
}

void
home_unlink(const char *name)
{
	char *path = home_path(name);

	unlink(path);
	free(path);
}

void
home_fill_in(struct buf *out, const char *text)
{
	for (const char *p; (p = strstr(text, "%s")) != NULL; text = p + 2) {
		buf_add(out, text, (size_t)(p - text));
		buf_adds(out, home);
	}
	buf_adds(out, text);
}
