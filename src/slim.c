#include "slim.h"

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* Code that the loader has changed in memory, on some 32-bit machines, is not what lies
 * in the file. */
static bool
is_changed(const struct dl_phdr_info *info)
{
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];

		if (h->p_type != PT_DYNAMIC)
			continue;
		for (const ElfW(Dyn) *d = (const void *)(info->dlpi_addr + h->p_vaddr); d->d_tag != DT_NULL; d++)
			if (d->d_tag == DT_TEXTREL || (d->d_tag == DT_FLAGS && (d->d_un.d_val & DF_TEXTREL) != 0))
				return true;
	}
	return false;
}

/* What nobody may write to is as it lies in the file. */
static int
drop_constants(struct dl_phdr_info *info, size_t size, void *arg)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)size, (void)arg;
	/* The kernel's own has no file to come back from. */
	if (info->dlpi_name == NULL || (info->dlpi_name[0] != '/' && info->dlpi_name[0] != '\0') ||
	    is_changed(info))
		return 0;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		uintptr_t from = (info->dlpi_addr + h->p_vaddr) & ~(page - 1);
		uintptr_t to = (info->dlpi_addr + h->p_vaddr + h->p_filesz + page - 1) & ~(page - 1);

		if (h->p_type == PT_LOAD && (h->p_flags & PF_W) == 0)
			madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return 0;
}

void
slim_down(void)
{
#ifdef __GLIBC__
	malloc_trim(0);
#endif
	dl_iterate_phdr(drop_constants, NULL);
}
