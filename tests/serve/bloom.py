"""Asks a Bloom filter of Apache DataSketches who is in it, with nothing but xxhash from PyPI."""
import struct
import sys

import xxhash


class Members:
    """What GET /v1/segments/{id}/bloom answers."""

    def __init__(self, data):
        _, version, family, flags = struct.unpack_from("<4B", data)
        assert (version, family) == (1, 21), "not a Bloom filter of DataSketches"
        self.hashes, self.seed, words = struct.unpack_from("<H2xQi", data, 4)
        is_empty = flags & 4
        self.bits = None if is_empty else data[32 : 32 + 8 * words]

    def __contains__(self, user):
        if self.bits is None:
            return False
        first = xxhash.xxh64_intdigest(user.encode(), self.seed)
        second = xxhash.xxh64_intdigest(user.encode(), first)
        for number in range(1, self.hashes + 1):
            mixed = (first + number * second) & (2**64 - 1)
            bit = (mixed >> 1) % (8 * len(self.bits))
            if not self.bits[bit // 8] >> bit % 8 & 1:
                return False
        return True


if __name__ == "__main__":
    members = Members(open(sys.argv[1], "rb").read())
    for line in sys.stdin:
        print(int(line.rstrip("\n") in members))
