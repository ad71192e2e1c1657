/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a shard, as docs/SHARD_FORMAT.md specifies them. Little-endian, nothing between fields.
 *
 *   0        header (4096 bytes)
 *   4096     class table, then zeros up to a multiple of 4096
 *   ...      dictionary, zeros: only where the header's flags say so
 *   ...      field table, zeros: only where the header's flags say so
 *   ...      block 0, zeros; (a copy of the dictionary, zeros;) block 1, zeros; ... each at a multiple of 4096
 *   ...      index, zeros
 *   end-128  footer; the file ends at a multiple of 4096
 *
 * The parts follow each other without a gap, so every byte of a file is a field under a hash or a zero that must be.
 */
#ifndef RINGCLR_IO_SHARD_FORMAT_H
#define RINGCLR_IO_SHARD_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define SHARD_MAGIC	   "\x89RING\r\n\x1a" /* 8 bytes; broken by any text-mode transfer */
#define SHARD_BLOCK_MAGIC  "RINGBLK\n"
#define SHARD_FOOTER_MAGIC "RINGEND\n"
#define SHARD_COPY_MAGIC   "RINGDIC\n"

enum {
	SHARD_VERSION_MAJOR = 1,
	SHARD_VERSION_MINOR = 2,
	SHARD_VERSION_MINOR_DICTIONARY = 1, /* what a file with a dictionary needs */
	SHARD_VERSION_MINOR_COPIES = 2,	    /* one with copies of it */
	SHARD_VERSION_MINOR_FIELDS = 2,	    /* and one with fields */
	SHARD_HEADER_BYTES = 4096,
	SHARD_ORIGIN_CAPACITY = 4008,
	SHARD_ORIGIN_CAPACITY_OLD = 4024, /* what a file without fields may have */
	SHARD_BLOCK_HEADER_BYTES = 64,
	SHARD_FOOTER_BYTES = 128,
	SHARD_MAX_RAW_BYTES = 1 << 30, /* of a block once decompressed */
	SHARD_MAX_CLASS_NAME = 4095,
	SHARD_MAX_DICTIONARY = 1 << 20,
	/* Compressed bytes stand for at most this many times as many, plus the slack, so that a reader can bound its
	 * memory by the file's size. A writer stores what would compress better. */
	SHARD_MAX_RATIO = 1024,
	SHARD_RATIO_SLACK = 1 << 20,
	/* And what zstd cannot compress grows by less than that: a part of its bytes, and so many. With them a block is
	 * below 2^31 bytes on disk. */
	SHARD_GROWTH_PART = 16,
	SHARD_GROWTH_SLACK = 1024,
};

enum shard_compression { SHARD_STORED = 0, SHARD_ZSTD = 1, SHARD_ZSTD_DICTIONARY = 2 };

enum { /* of required_flags: the file has */
	SHARD_NEEDS_DICTIONARY = 1 << 0,
	SHARD_NEEDS_COPIES = 1 << 2, /* copies of the dictionary between blocks, in case the one before them is lost */
	SHARD_NEEDS_FIELDS = 1 << 1, /* a field table, and fields of records behind a block's images */
};

/* The field table: entries one after the other, each followed by its name and its value. */
enum {
	SHARD_FIELD_REQUIRED = 1 << 0 /* a reader that does not know it must refuse the file */,
	SHARD_FIELD_OF_FILE = 1 << 1
};
enum { SHARD_FIELD_META = 1, SHARD_MAX_FIELD_TABLE = 1 << 20, SHARD_MAX_META = 1 << 20, SHARD_MAX_FIELD_NAME = 255 };
#define SHARD_FIELD_META_NAME  "meta"		  /* of a record: a JSON object */
#define SHARD_FIELD_META_VALUE "application/json" /* what an entry of record scope says of its contents */

struct shard_field_disk {
	uint8_t id; /* 1 to 255, by which records name it; 0 with SHARD_FIELD_OF_FILE */
	uint8_t flags;
	uint16_t name_bytes;  /* 1 to 255 */
	uint32_t value_bytes; /* of a field of the file: its value; of records: what theirs are */
} __attribute__((packed));

/* Behind a block's images stands for each record, in their order, a u32: the bytes of its fields, and then these: */
struct shard_record_field_disk {
	uint8_t id;
	uint8_t reserved[3];
	uint32_t bytes; /* of the value that follows */
} __attribute__((packed));

/* A copy of the dictionary: a header like a block's, with SHARD_COPY_MAGIC and no records, and the dictionary. One lies
 * before the first block from 64 KiB of the file on, from 512 KiB on, and so on by eights: so that one lies in the
 * middle of a file of any size. */
enum { SHARD_COPY_FIRST = 64 << 10, SHARD_COPY_FACTOR = 8 };

struct shard_header_disk {
	uint8_t magic[8];
	uint16_t version_major, version_minor;
	uint32_t required_flags; /* a set bit that a reader does not know: it must refuse the file */
	uint32_t optional_flags; /* a set bit that a reader does not know: it ignores it */
	uint32_t header_bytes;	 /* 4096 */
	uint32_t block_bytes;	 /* what the writer aimed at; information only */
	uint32_t class_count;
	uint64_t class_bytes; /* of the class table, without its padding */
	uint64_t class_hash;
	uint32_t origin_bytes;
	uint32_t dictionary_bytes; /* without its padding; these two are 0 without the flag */
	uint64_t dictionary_hash;
	char origin[SHARD_ORIGIN_CAPACITY];
	uint32_t field_table_bytes; /* without its padding; this and its hash are 0 without the flag. (Before 1.2 the
				       origin's last bytes, which were never used.) */
	uint8_t reserved[4];
	uint64_t field_table_hash;
	uint64_t hash; /* XXH3-64 of the 4088 bytes before it */
} __attribute__((packed));

struct shard_block_disk {
	uint8_t magic[8];
	uint32_t number;
	uint32_t disk_bytes; /* this header and the payload */
	uint32_t raw_bytes;  /* of the payload once decompressed */
	uint32_t record_count;
	uint32_t first_record;
	uint32_t compression;
	uint64_t dictionary_hash; /* of the dictionary that decompresses it; 0 with another compression */
	uint8_t reserved[8];
	uint64_t payload_hash; /* XXH3-64 of the payload as it lies on disk */
	uint64_t hash;	       /* XXH3-64 of the 56 bytes before it */
} __attribute__((packed));

/* Followed by key_bytes bytes of key. In a block: one per record, then the images. In the index: after the blocks. */
struct shard_record_disk {
	uint64_t hash; /* XXH3-64 of the image */
	uint32_t bytes;
	int32_t label;
	uint16_t width, height;
	uint8_t codec;
	uint8_t reserved;
	uint16_t key_bytes;
} __attribute__((packed));

struct shard_index_block_disk {
	uint64_t offset;
	uint64_t hash; /* the one at the end of the block's header */
	uint32_t disk_bytes;
	uint32_t raw_bytes;
	uint32_t record_count;
	uint32_t compression;
} __attribute__((packed));

struct shard_footer_disk {
	uint8_t magic[8];
	uint64_t file_bytes;
	uint64_t header_hash; /* the header's own, and seven copies of its fields, in case the header is lost */
	uint64_t class_bytes;
	uint64_t class_hash;
	uint32_t class_count;
	uint32_t block_count;
	uint32_t record_count;
	uint32_t index_compression;
	uint64_t index_offset;
	uint64_t index_disk_bytes;
	uint64_t index_raw_bytes;
	uint64_t index_hash; /* XXH3-64 of the index as it lies on disk */
	uint64_t dictionary_hash;
	uint32_t dictionary_bytes;
	uint32_t field_table_bytes;
	uint64_t field_table_hash;
	uint8_t reserved[8];
	uint64_t hash; /* XXH3-64 of the 120 bytes before it */
} __attribute__((packed));

static_assert(sizeof(struct shard_header_disk) == SHARD_HEADER_BYTES, "shard header");
static_assert(offsetof(struct shard_header_disk, origin) == 64, "shard header: origin");
static_assert(offsetof(struct shard_header_disk, hash) == 4088, "shard header: hash");
static_assert(sizeof(struct shard_field_disk) == 8 && sizeof(struct shard_record_field_disk) == 8, "fields");
static_assert(sizeof(struct shard_block_disk) == SHARD_BLOCK_HEADER_BYTES, "block header");
static_assert(offsetof(struct shard_block_disk, hash) == 56, "block header: hash");
static_assert(sizeof(struct shard_record_disk) == 24, "record entry");
static_assert(sizeof(struct shard_index_block_disk) == 32, "index entry of a block");
static_assert(offsetof(struct shard_footer_disk, field_table_hash) == 104, "footer: field table");
static_assert(sizeof(struct shard_footer_disk) == SHARD_FOOTER_BYTES, "footer");
static_assert(offsetof(struct shard_footer_disk, index_offset) == 56, "footer: index");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a shard's structs are read in place: little-endian only");

#endif
