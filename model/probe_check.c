/* SPDX-License-Identifier: Apache-2.0 */
#include "model/probe_internal.h"

#include <stdlib.h>

int probe_check(const struct probe_data *data, const char *name, unsigned classes, struct error *err)
{
	if (data->count == 0)
		return error_set(err, ERROR_USAGE, "probe: the %s set is empty", name);
	for (size_t i = 0; i < data->count; i++)
		if (data->labels[i] < 0 || (unsigned)data->labels[i] >= classes)
			return error_set(err, ERROR_USAGE,
				"probe: record %zu of the %s set has label %d; labels are 0 to %u", i, name,
				data->labels[i], classes - 1);
	return 0;
}

void *probe_alloc(struct arena *arena, size_t count, size_t size_bytes, struct error *err)
{
	if (arena)
		return arena_alloc(arena, "online probe", count, size_bytes, 0, err);
	void *memory = calloc(count, size_bytes);
	if (!memory)
		error_set(err, ERROR_MEMORY, "probe: no memory for %zu numbers", count);
	return memory;
}
