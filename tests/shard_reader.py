#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a shard by docs/SHARD_FORMAT.md alone.

shard_reader.py FILE            one line a record: number, block, bytes, label, width, height, codec, key
shard_reader.py FILE NUMBER     the bytes of that record's image, on standard output
shard_reader.py --blocks FILE   the same list without index and footer, from the blocks alone

Decompression and hashes come from the system's libzstd and libxxhash.
"""
import ctypes
import struct
import sys

ZSTD = ctypes.CDLL("libzstd.so.1")
ZSTD.ZSTD_decompress.restype = ctypes.c_size_t
ZSTD.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
ZSTD.ZSTD_createDCtx.restype = ctypes.c_void_p
ZSTD.ZSTD_decompress_usingDict.restype = ctypes.c_size_t
ZSTD.ZSTD_decompress_usingDict.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t,
                                           ctypes.c_char_p, ctypes.c_size_t]
CONTEXT = ZSTD.ZSTD_createDCtx()
XXH = ctypes.CDLL("libxxhash.so.0")
XXH.XXH3_64bits.restype = ctypes.c_uint64
XXH.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
PAGE = 4096
CODECS = {0: "raw", 1: "jpeg", 2: "webp", 3: "png"}


def need(condition, what):
    if not condition:
        sys.exit(f"shard_reader: {what}")


def up(size):
    return (size + PAGE - 1) // PAGE * PAGE


def check_hash(data, expected, what):
    need(XXH.XXH3_64bits(data, len(data)) == expected, f"the hash of {what} is wrong")


def expand(data, compression, raw_bytes, what, dictionary=None):
    need(compression in (0, 1) or (compression == 2 and dictionary), f"the compression of {what} is unknown")
    if compression > 0:
        need(raw_bytes <= 1024 * len(data) + 1048576, f"the size of {what} is out of bounds")
        raw = ctypes.create_string_buffer(raw_bytes)
        if compression == 1:
            got = ZSTD.ZSTD_decompress(raw, raw_bytes, data, len(data))
        else:
            got = ZSTD.ZSTD_decompress_usingDict(CONTEXT, raw, raw_bytes, data, len(data), dictionary, len(dictionary))
        data = raw.raw[:got] if got <= raw_bytes else b""
    need(len(data) == raw_bytes, f"{what} does not have the size it states")
    return data


def record_entries(data, at, count):
    """Yields (entry, offset behind it)."""
    for _ in range(count):
        digest, size, label, width, height, codec, _, key_bytes = struct.unpack_from("<QIiHHBBH", data, at)
        key = data[at + 24 : at + 24 + key_bytes]
        at += 24 + key_bytes
        yield {"hash": digest, "bytes": size, "label": label, "width": width, "height": height, "codec": codec, "key": key}, at


class Shard:
    def __init__(self, path, trust_index=True):
        with open(path, "rb") as file:
            self.file = file.read()
        self.read_header()
        if trust_index:
            self.read_footer()
            self.read_index()
        else:
            self.find_blocks()

    def read_header(self):
        header = self.file[:PAGE]
        magic, major, _, required, _, size, _, count, class_bytes, class_hash, origin_bytes, dictionary_bytes, self.dictionary_hash = (
            struct.unpack_from("<8sHHIIIIIQQIIQ", header)
        )
        need(magic == b"\x89RING\r\n\x1a", "no shard")
        (self.header_hash,) = struct.unpack_from("<Q", header, 4088)
        check_hash(header[:4088], self.header_hash, "header")
        need(major == 1 and required in (0, 1) and size == PAGE, "a version that this reader does not know")
        self.origin = header[64 : 64 + origin_bytes].decode()
        table = self.file[PAGE : PAGE + class_bytes]
        check_hash(table, class_hash, "class table")
        self.classes, at = [], 0
        for _ in range(count):
            (length,) = struct.unpack_from("<H", table, at)
            self.classes.append(table[at + 2 : at + 2 + length].decode())
            at += 2 + length
        need(at == class_bytes, "size of the class table")
        self.dictionary = None
        self.first_block = PAGE + up(class_bytes)
        if required & 1:
            need(1 <= dictionary_bytes <= 1048576, "size of the dictionary")
            self.dictionary = self.file[self.first_block : self.first_block + dictionary_bytes]
            check_hash(self.dictionary, self.dictionary_hash, "dictionary")
            need(self.dictionary[:4] == b"\x37\xa4\x30\xec" and self.dictionary[4:8] != bytes(4), "no dictionary of zstd's format")
            self.first_block += up(dictionary_bytes)

    def read_footer(self):
        footer = self.file[-128:]
        (magic, file_bytes, header_hash, _, _, _, self.block_count, self.record_count, compression, offset, disk_bytes,
         raw_bytes, index_hash) = struct.unpack_from("<8sQQQQIIIIQQQQ", footer)
        need(magic == b"RINGEND\n", "no footer: the file was cut off")
        check_hash(footer[:120], struct.unpack_from("<Q", footer, 120)[0], "footer")
        dictionary_hash, dictionary_bytes = struct.unpack_from("<QI", footer, 88)
        need(dictionary_bytes == len(self.dictionary or b"") and dictionary_hash == self.dictionary_hash, "dictionary of another file")
        need(file_bytes == len(self.file) and header_hash == self.header_hash, "footer of another file")
        need(offset + up(disk_bytes + 128) == file_bytes, "place of the index")
        disk = self.file[offset : offset + disk_bytes]
        check_hash(disk, index_hash, "index")
        self.index = expand(disk, compression, raw_bytes, "index")

    def read_index(self):
        self.records, at = [], 32 * self.block_count
        expected = self.first_block
        for number in range(self.block_count):
            offset, digest, disk_bytes, _, count, _ = struct.unpack_from("<QQIIII", self.index, 32 * number)
            need(offset == expected and struct.unpack_from("<Q", self.file, offset + 56)[0] == digest, f"block {number}")
            expected += up(disk_bytes)
            for entry, at in record_entries(self.index, at, count):
                entry["block"], entry["at"] = number, offset
                self.records.append(entry)
        need(at == len(self.index) and len(self.records) == self.record_count, "size of the index")

    def find_blocks(self):
        self.records, at = [], self.first_block
        while self.file[at : at + 8] == b"RINGBLK\n":
            number, disk_bytes, _, count = struct.unpack_from("<IIII", self.file, at + 8)
            for entry, _ in record_entries(self.payload(at), 0, count):
                entry["block"], entry["at"] = number, at
                self.records.append(entry)
            at += up(disk_bytes)

    def payload(self, at):
        number, disk_bytes, raw_bytes, _, _, compression = struct.unpack_from("<IIIIII", self.file, at + 8)
        dictionary_hash, _, payload_hash, digest = struct.unpack_from("<QQQQ", self.file, at + 32)
        check_hash(self.file[at : at + 56], digest, f"header of block {number}")
        disk = self.file[at + 64 : at + disk_bytes]
        check_hash(disk, payload_hash, f"block {number}")
        need(dictionary_hash == (self.dictionary_hash if compression == 2 else 0), f"the dictionary of block {number}")
        return expand(disk, compression, raw_bytes, f"block {number}", self.dictionary)

    def image(self, number):
        record = self.records[number]
        payload = self.payload(record["at"])
        count, first = struct.unpack_from("<II", self.file, record["at"] + 20)
        entries = list(record_entries(payload, 0, count))
        at = entries[-1][1] + sum(entry["bytes"] for entry, _ in entries[: number - first])
        data = payload[at : at + record["bytes"]]
        check_hash(data, record["hash"], f"record {number}")
        return data


if __name__ == "__main__":
    need(len(sys.argv) in (2, 3), __doc__)
    if len(sys.argv) == 3 and sys.argv[1] != "--blocks":
        sys.stdout.buffer.write(Shard(sys.argv[1]).image(int(sys.argv[2])))
        sys.exit()
    for i, r in enumerate(Shard(sys.argv[-1], trust_index=sys.argv[1] != "--blocks").records):
        print(i, r["block"], r["bytes"], r["label"], r["width"], r["height"], CODECS[r["codec"]], r["key"].decode())
