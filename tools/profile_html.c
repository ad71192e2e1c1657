/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/profile_result.h"

int profile_report(const struct profile_result *result, const cJSON *options, const char *path, struct error *err)
{
	(void)result;
	(void)options;
	return error_set(err, ERROR_UNSUPPORTED, "%s: not yet", path);
}
