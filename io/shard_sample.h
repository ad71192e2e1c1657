/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing how to write a set from a sample of its records; shard_sample.c says how. Inside of io/. */
#ifndef RINGCLR_IO_SHARD_SAMPLE_H
#define RINGCLR_IO_SHARD_SAMPLE_H

#include "io/shard.h"

struct shard_sample;

/* The config's strings live until the sample's end. */
struct shard_sample *shard_sample_create(const struct shard_tuner_config *config, struct error *err);
void shard_sample_destroy(struct shard_sample *sample); /* NULL is allowed */

/* Copies the record. */
int shard_sample_add(struct shard_sample *sample, const struct shard_record_in *record, struct error *err);
bool shard_sample_full(const struct shard_sample *sample);

/* Measures. *writer is the config to write with; its dictionary lives as long as the sample. */
int shard_sample_choose(struct shard_sample *sample, struct shard_writer_config *writer, struct shard_choice *choice,
	struct error *err);

/* The records that were held. */
size_t shard_sample_count(const struct shard_sample *sample);
struct shard_record_in shard_sample_record(const struct shard_sample *sample, size_t number);

#endif
