"""Makes ROOT files with trees of several lengths, packed by each method that ROOT has: root_files.py FOLDER.

uproot writes the files. It never packs the tree's own record, as ROOT does, so that is done here; uproot reads each file
back as a check.
"""
import lzma
import os
import struct
import sys
import zlib

import cramjam
import numpy
import uproot
import xxhash

ENTRIES = [0, 1, 999, 1000, 1001]


def block(method, version, packed, size):
    def length(number):
        return struct.pack('<I', number)[:3]
    return method + bytes([version]) + length(len(packed)) + length(size) + packed


def lz4(data):
    packed = bytes(cramjam.lz4.compress_block(data, store_size=False))
    return xxhash.xxh64(packed).digest() + packed


PACKERS = {
    'zlib': (uproot.ZLIB(4), lambda data: block(b'ZL', 8, zlib.compress(data), len(data))),
    'lzma': (uproot.LZMA(4), lambda data: block(b'XZ', 0, lzma.compress(data, check=lzma.CHECK_CRC32), len(data))),
    'lz4': (uproot.LZ4(4), lambda data: block(b'L4', 1, lz4(data), len(data))),
    'zstd': (uproot.ZSTD(4), lambda data: block(b'ZS', 1, bytes(cramjam.zstd.compress(data)), len(data))),
    'none': (None, None),
}


def write(path, name, entries, compression):
    with uproot.recreate(path, compression=compression) as file:
        tree = file.mktree(name, {'x': numpy.dtype('f8'), 'n': numpy.dtype('i4')})
        for begin in range(0, entries, 400):
            numbers = numpy.arange(begin, min(begin + 400, entries))
            tree.extend({'x': numbers * 0.5, 'n': numbers.astype('i4')})


def pack(path, name, packer):
    with uproot.open(path) as file:
        key = file.key(name)
        place, key_len, size = key.fSeekKey, key.fKeylen, key.fObjlen
        keys_place = file.file.root_directory.fSeekKeys
        assert key.fNbytes == key_len + size, 'packed already'
    data = bytearray(open(path, 'rb').read())
    packed = packer(bytes(data[place + key_len:place + key_len + size]))
    assert len(packed) < size
    old, new = struct.pack('>I', key_len + size), struct.pack('>I', key_len + len(packed))
    # The key is before its object, and again in the list of all keys.
    header = data[place + 4:place + key_len]
    listed = data.index(old + header, keys_place)
    for at in place, listed:
        assert data[at:at + 4] == old
        data[at:at + 4] = new
    data[place + key_len:place + key_len + len(packed)] = packed
    open(path, 'wb').write(data)


folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
for method, (compression, packer) in PACKERS.items():
    for entries in ENTRIES:
        path = os.path.join(folder, f'{method}.{entries}.root')
        write(path, 'CollectionTree', entries, compression)
        if packer:
            pack(path, 'CollectionTree', packer)
        with uproot.open(path) as file:
            tree = file['CollectionTree']
            assert tree.num_entries == entries
            assert tree['n'].array(library='np').sum() == entries * (entries - 1) // 2

write(os.path.join(folder, 'other.root'), 'MetaData', 3, None)
with uproot.recreate(os.path.join(folder, 'histogram.root')) as file:
    file['CollectionTree'] = numpy.histogram([1.0, 2.0])
whole = open(os.path.join(folder, 'zlib.1000.root'), 'rb').read()
open(os.path.join(folder, 'cut.root'), 'wb').write(whole[:len(whole) // 2])
# The place of the list of keys is 0 in a file that was not closed.
with uproot.open(os.path.join(folder, 'zlib.1000.root')) as file:
    record = struct.pack('>i', file.file.root_directory.fSeekKeys)
at = whole.index(record, 100)
open(os.path.join(folder, 'open.root'), 'wb').write(whole[:at] + bytes(4) + whole[at + 4:])
open(os.path.join(folder, 'text.root'), 'w').write('this is a text\n')
open(os.path.join(folder, 'empty.root'), 'w').close()
