/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

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

cJSON *json_object(const char *text, size_t bytes)
{
	const char *end = NULL;
	cJSON *object = cJSON_ParseWithLengthOpts(text, bytes, &end, false);
	while (object != NULL && end < text + bytes && *end != '\0' && strchr(" \t\r\n", *end) != NULL)
		end++;
	if (cJSON_IsObject(object) && end == text + bytes)
		return object;
	cJSON_Delete(object);
	return NULL;
}

void json_add_hash(cJSON *object, const char *name, uint64_t hash)
{
	char text[20];
	snprintf(text, sizeof(text), "%016" PRIx64, hash);
	cJSON_AddStringToObject(object, name, text);
}
