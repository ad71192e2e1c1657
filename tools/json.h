/* SPDX-License-Identifier: Apache-2.0 */
/* The little that cJSON leaves to do. */
#ifndef RINGCLR_TOOLS_JSON_H
#define RINGCLR_TOOLS_JSON_H

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>

/* Prints the object on stdout, in one line, and deletes it. Returns EXIT_OK, or EXIT_FAILED when memory ran out. */
int json_print(cJSON *object);

/* Parses text that ends without a zero: one JSON object with white space around it, or NULL. The caller owns it. */
cJSON *json_object(const char *text, size_t bytes);

/* A 64-bit hash as 16 hexadecimal digits: JSON numbers hold 53 bits. */
void json_add_hash(cJSON *object, const char *name, uint64_t hash);

#endif
