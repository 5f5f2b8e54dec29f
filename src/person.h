/* person: who somebody is on this machine: login, full name, home.
 *
 * The password file is read as it is, and whoever is not in it is asked of the
 * name service (LDAP, sssd, systemd) by the C library's own program, getent(1).
 * So a static program, which no module of the name service fits into, knows the
 * same people as any other, and starts no second program for most of them. */
#ifndef PERSON_H
#define PERSON_H

#include <sys/types.h>

#include "buf.h"

/* The account of the service that takes mail from everybody (service.h). */
#define SERVICE_ACCOUNT "subpost"

/* Where the uids of people begin, as login.defs(5) of most systems has it. */
#define PERSON_FIRST_UID 1000

/* Zero is nobody.  Strings are never NULL where a lookup answered true. */
struct person {
	uid_t uid;
	gid_t gid;
	char *login;
	char *full_name;        /* the first part of the password file's comment, with "&"
	                         * as finger(1) reads it; "" where there is none */
	char *home;
};
void person_free(struct person *p);

/* False: there is nobody of that uid or login, or nobody answers within seconds. */
bool person_by_uid(uid_t uid, struct person *p);
bool person_by_login(struct str login, struct person *p);

/* Is it an account of the system itself (uid below PERSON_FIRST_UID)?  Those are
 * in the password file, so nobody else is asked. */
bool person_is_system(struct str login);
/* The gid of a group, from the group file, or the name service; false as above. */
bool person_group(struct str name, gid_t *gid);
/* The groups of a login as getent(1) knows them, `first` before all others; *n of
 * them, freed with free. */
gid_t *person_groups(const char *login, gid_t first, size_t *n);

/* May we go by what is in a file of that uid's?  Root's and our own; and root by the
 * service's account's, who has the password. */
bool person_is_trusted(uid_t owner);

/* The one number that the kernel has for all who have none on this machine, as in another
 * user namespace; whoever is called that here is not one of them. */
uid_t person_unknown_uid(void);
gid_t person_unknown_gid(void);

#endif
