#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a shard by docs/SHARD_FORMAT.md alone, with the system's libzstd and libxxhash.

shard_reader.py FILE            one line a record: number, block, hash, bytes, label, width, height, codec, key, tab, metadata
shard_reader.py FILE NUMBER     the bytes of that record's image, on standard output
"""
import ctypes
import struct
import sys

ZSTD, XXH = ctypes.CDLL("libzstd.so.1"), ctypes.CDLL("libxxhash.so.0")
ZSTD.ZSTD_createDCtx.restype, ZSTD.ZSTD_decompress_usingDict.restype = ctypes.c_void_p, ctypes.c_size_t
ZSTD.ZSTD_decompress_usingDict.argtypes = [ctypes.c_void_p] + [ctypes.c_char_p, ctypes.c_size_t] * 3
CONTEXT = ZSTD.ZSTD_createDCtx()
XXH.XXH3_64bits.restype, XXH.XXH3_64bits.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t]
PAGE, CODECS, get = 4096, ["raw", "jpeg", "webp", "png"], struct.unpack_from
DICTIONARY, FIELDS, COPIES, REQUIRED, OF_FILE = 1, 2, 4, 1, 2  # three bits of required_flags, two of a field's flags
TEXT = {"errors": "surrogateescape"}  # UTF-8 or not: any bytes, and the same ones when it is printed


def need(condition, what):
    if not condition:
        sys.exit(f"shard_reader: {what}")


def up(size):
    return (size + PAGE - 1) // PAGE * PAGE


def checked(data, digest, what):
    need(XXH.XXH3_64bits(data, len(data)) == digest, f"the hash of {what} is wrong")
    return data


def expand(data, compression, raw_bytes, what, dictionary=b""):
    need(compression in (0, 1) or (compression == 2 and dictionary), f"the compression of {what} is unknown")
    if compression > 0:
        need(raw_bytes <= 1024 * len(data) + 1048576, f"the size of {what} is out of bounds")
        raw, used = ctypes.create_string_buffer(raw_bytes), dictionary if compression == 2 else b""
        got = ZSTD.ZSTD_decompress_usingDict(CONTEXT, raw, raw_bytes, data, len(data), used, len(used))
        data = raw.raw[:got] if got <= raw_bytes else b""
    need(len(data) == raw_bytes, f"{what} does not have the size it states")
    return data


def record_entries(data, at, count):
    entries = []
    for _ in range(count):
        *values, _, key_bytes = get("<QIiHHBBH", data, at)
        values.append(data[at + 24 : at + 24 + key_bytes].decode(**TEXT))
        entries.append(dict(zip(("hash", "bytes", "label", "width", "height", "codec", "key"), values)))
        at += 24 + key_bytes
    return entries, at


class Shard:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.file = file.read()
        self.read_header()
        self.read_index()

    def read_header(self):
        need(self.file[:8] == b"\x89RING\r\n\x1a", "no shard")
        (self.header_hash,) = get("<Q", self.file, 4088)
        header = checked(self.file[:4088], self.header_hash, "header")
        major, flags, size, count, class_bytes, class_hash, dictionary_bytes, dictionary_hash = (
            get("<HxxI4xI4xIQQ4xIQ", header, 8))
        need(major == 1 and flags & ~(DICTIONARY | FIELDS | COPIES) == 0 and size == PAGE, "a version that this reader does not know")
        field_bytes, field_hash = get("<I4xQ", header, 4072) if flags & FIELDS else (0, 0)
        self.repeated = (class_bytes, class_hash, count, dictionary_hash, dictionary_bytes, field_bytes, field_hash)
        at = PAGE + up(class_bytes)
        self.dictionary = flags & DICTIONARY and checked(self.file[at : at + dictionary_bytes], dictionary_hash, "dictionary")
        self.copy_bytes = up(64 + dictionary_bytes) if flags & COPIES else 0  # what may lie between two blocks
        at += up(dictionary_bytes)
        self.read_fields(checked(self.file[at : at + field_bytes], field_hash, "field table") if field_bytes else b"")
        self.first_block = at + up(field_bytes)
        table, at, self.classes = checked(self.file[PAGE : PAGE + class_bytes], class_hash, "class table"), 0, []
        for _ in range(count):
            at, end = at + 2, at + 2 + get("<H", table, at)[0]
            self.classes.append(table[at:end].decode(**TEXT))
            at = end
        need(at == class_bytes, "size of the class table")

    def read_fields(self, table):
        self.has_fields, self.fields, at = len(table) > 0, {}, 0
        while at < len(table):
            number, flags, name_bytes, value_bytes = get("<BBHI", table, at)
            name = table[at + 8 : at + 8 + name_bytes].decode(**TEXT)
            need(not flags & REQUIRED or (name == "meta" and not flags & OF_FILE), f"the required field '{name}' is unknown")
            if not flags & OF_FILE:
                self.fields[number] = name
            at += 8 + name_bytes + value_bytes

    def read_index(self):
        (magic, file_bytes, header_hash, class_bytes, class_hash, class_count, block_count, record_count, compression, offset, size,
         raw_bytes, index_hash, *tables) = get("<8sQQQQIIIIQQQQQIIQ", self.file[-128:])
        need(magic == b"RINGEND\n", "no footer: the file was cut off")
        checked(self.file[-128:-8], get("<Q", self.file[-8:])[0], "footer")
        need((class_bytes, class_hash, class_count, *tables) == self.repeated, "dictionary, classes or fields of another file")
        need(file_bytes == len(self.file) == offset + up(size + 128) and header_hash == self.header_hash, "footer of another file")
        index = expand(checked(self.file[offset : offset + size], index_hash, "index"), compression, raw_bytes, "index")
        at, expected, self.records = 32 * block_count, self.first_block, []  # (number of its block, where that lies, place in it, entry)
        for number in range(block_count):
            offset, digest, size, _, count, _ = get("<QQIIII", index, 32 * number)
            need(offset in (expected, expected + (number and self.copy_bytes)) and get("<Q", self.file, offset + 56)[0] == digest, f"block {number}")
            expected = offset + up(size)
            entries, at = record_entries(index, at, count)
            self.records += [(number, offset, place, entry) for place, entry in enumerate(entries)]
        need(at == len(index) and len(self.records) == record_count, "size of the index")

    def block(self, at):
        number, size, raw_bytes, count, compression, dictionary_hash, payload_hash, digest = get("<IIII4xIQ8xQQ", self.file, at + 8)
        checked(self.file[at : at + 56], digest, f"header of block {number}")
        disk = checked(self.file[at + 64 : at + size], payload_hash, f"block {number}")
        need(dictionary_hash == (self.repeated[3] if compression == 2 else 0), f"the dictionary of block {number}")
        raw = expand(disk, compression, raw_bytes, f"block {number}", self.dictionary)
        (entries, at), records = record_entries(raw, 0, count), []  # (entry, image, fields by name)
        for entry in entries:
            records.append((entry, checked(raw[at : at + entry["bytes"]], entry["hash"], f"record '{entry['key']}'"), {}))
            at += entry["bytes"]
        for entry, _, fields in records if self.has_fields else []:
            at, end = at + 4, at + 4 + get("<I", raw, at)[0]
            while at < end:
                field, size = get("<B3xI", raw, at)
                fields[self.fields[field]] = raw[at + 8 : at + 8 + size]
                at += 8 + size
            need(at == end, f"fields of record '{entry['key']}'")
        need(at == len(raw), f"size of block {number}")
        return records

    def record(self, number):
        _, at, place, entry = self.records[number]
        found = self.block(at)[place]
        need(found[0] == entry, f"record {number} is not as in the index")
        return found


if __name__ == "__main__":
    need(len(sys.argv) in (2, 3), __doc__)
    sys.stdout.reconfigure(**TEXT)
    shard = Shard(sys.argv[1])
    if len(sys.argv) == 3:
        sys.exit(not sys.stdout.buffer.write(shard.record(int(sys.argv[2]))[1]))
    for i, (block, _, _, r) in enumerate(shard.records):
        meta = shard.record(i)[2].get("meta", b"").decode(**TEXT)
        print(i, block, f"{r['hash']:016x}", r["bytes"], r["label"], r["width"], r["height"], CODECS[r["codec"]], r["key"],
              end="\t" + meta + "\n" if meta else "\n")
