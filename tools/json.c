/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/json.h"

#include <inttypes.h>
#include <stdio.h>

#include "tools/command.h"

int json_print(cJSON *object)
{
	char *text = cJSON_PrintUnformatted(object);
	cJSON_Delete(object);
	if (text == NULL) {
		fputs("ringclr: out of memory while writing JSON\n", stderr);
		return EXIT_FAILED;
	}
	puts(text);
	cJSON_free(text);
	return EXIT_OK;
}

void json_add_hash(cJSON *object, const char *name, uint64_t hash)
{
	char text[20];
	snprintf(text, sizeof(text), "%016" PRIx64, hash);
	cJSON_AddStringToObject(object, name, text);
}
