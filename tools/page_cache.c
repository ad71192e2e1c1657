/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/page_cache.h"

#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WINDOW_PAGES = 1 << 14 }; /* looked at in one call: mapping a window costs addresses, not memory */

/* Pages of the file that are in memory are added to *resident. */
static bool count_pages(int fd, uint64_t bytes, uint64_t page, uint64_t *resident, uint64_t *total)
{
	static unsigned char flags[WINDOW_PAGES];
	for (uint64_t offset = 0; offset < bytes; offset += WINDOW_PAGES * page) {
		uint64_t left = bytes - offset, window = left < WINDOW_PAGES * page ? left : WINDOW_PAGES * page;
		void *address = mmap(NULL, window, PROT_READ, MAP_SHARED, fd, (off_t)offset);
		if (address == MAP_FAILED)
			return false;
		uint64_t pages = (window + page - 1) / page;
		bool told = mincore(address, window, flags) == 0;
		munmap(address, window);
		if (!told)
			return false;
		for (uint64_t i = 0; i < pages; i++)
			*resident += flags[i] & 1;
		*total += pages;
	}
	return true;
}

double page_cache_share(const struct shard_set *set)
{
	uint64_t resident = 0, total = 0, page = (uint64_t)sysconf(_SC_PAGESIZE);
	for (unsigned i = 0; i < shard_set_count(set); i++) {
		const struct shard *shard = shard_set_at(set, i);
		if (!count_pages(shard_fd(shard), shard_file_bytes(shard), page, &resident, &total))
			return -1;
	}
	return total > 0 ? (double)resident / (double)total : -1;
}
