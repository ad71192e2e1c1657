/* SPDX-License-Identifier: Apache-2.0 */
#include "model/probe_internal.h"

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
