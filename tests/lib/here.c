/* here: the configuration, with the system's file at etc/subpost.ini and the
 * service's socket at "socket", both in the working directory, for whoever links
 * this before the library. */
#undef SUBPOST_SYSCONFDIR
#define SUBPOST_SYSCONFDIR "etc"
#define config_socket here_find_socket

#include "../../src/config.c"

#undef config_socket
void config_socket(struct buf *out, bool *exists);

void
config_socket(struct buf *out, bool *exists)
{
	struct buf elsewhere = { 0 };

	here_find_socket(&elsewhere, exists);
	buf_free(&elsewhere);
	buf_adds(out, "socket");
}
