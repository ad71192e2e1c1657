/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean": the word that a mistyped one was likely to be. */
#ifndef RINGCLR_PIPELINE_NEAREST_H
#define RINGCLR_PIPELINE_NEAREST_H

/* The one of `words` nearest to name; NULL when none is near. */
const char *nearest_word(const char *name, const char *const *words, unsigned count);

#endif
