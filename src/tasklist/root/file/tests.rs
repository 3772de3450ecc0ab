use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::fuzz::{nearly, within};

fn object(version: u16, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 2).unwrap() | 0x4000_0000;
    [&len.to_be_bytes()[..], &version.to_be_bytes(), body].concat()
}

fn tree(version: u16, entries: i64) -> Vec<u8> {
    let bases: Vec<u8> = (0..4).flat_map(|base| object(1, &[base; 9])).collect();
    object(version, &[&bases[..], &entries.to_be_bytes(), &[0; 300]].concat())
}

fn key(class: &str, name: &str, place: u32, packed_len: usize, object_len: usize) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let texts = [text(class), text(name), text("")].concat();
    let header_len = 26 + texts.len();
    let mut key = Vec::new();
    key.extend(u32::try_from(header_len + packed_len).unwrap().to_be_bytes());
    key.extend(4_u16.to_be_bytes());
    key.extend(u32::try_from(object_len).unwrap().to_be_bytes());
    key.extend([0; 4]);
    key.extend(u16::try_from(header_len).unwrap().to_be_bytes());
    key.extend(1_u16.to_be_bytes());
    key.extend(place.to_be_bytes());
    key.extend(100_u32.to_be_bytes());
    key.extend(texts);
    key
}

/// The smallest file that holds this object, packed or not.
fn file_of(class: &str, name: &str, object: &[u8], packed: &[u8]) -> Vec<u8> {
    const BEGIN: u32 = 100;
    const FOLDER_LEN: u32 = 42;
    let place = BEGIN + FOLDER_LEN;
    let record = [&key(class, name, place, packed.len(), object.len()), packed].concat();
    let keys_place = place + u32::try_from(record.len()).unwrap();
    let entry = key(class, name, place, packed.len(), object.len());
    let mut keys = key("TFile", "f", keys_place, 0, 0);
    keys.extend(1_u32.to_be_bytes());
    keys.extend(entry);

    let mut bytes = b"root".to_vec();
    for number in [62_400, BEGIN, 0, 0, 0, 0, 0] {
        bytes.extend(u32::to_be_bytes(number));
    }
    bytes.resize(BEGIN as usize, 0);
    bytes.extend(5_u16.to_be_bytes());
    bytes.extend([0; 8]);
    for number in [u32::try_from(keys.len()).unwrap(), 0, BEGIN, 0, keys_place] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.resize(place as usize, 0);
    [bytes, record, keys, vec![0; 64]].concat()
}

fn zlib(object: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(object).unwrap();
    let packed = encoder.finish().unwrap();
    let len = |len: usize| u32::try_from(len).unwrap().to_le_bytes()[..3].to_vec();
    [b"ZL\x08".to_vec(), len(packed.len()), len(object.len()), packed].concat()
}

fn entries_of(bytes: &[u8]) -> Result<u64, RootError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    entries(file.path(), "T")
}

/// The entries are found in plain and in packed trees.
#[test]
fn entries_are_found() {
    let tree = tree(20, 1_001);
    assert_eq!(entries_of(&file_of("TTree", "T", &tree, &tree)).unwrap(), 1_001);
    assert_eq!(entries_of(&file_of("TTree", "T", &tree, &zlib(&tree))).unwrap(), 1_001);
}

/// A file that is not a tree, a different tree, and an unsupported one are distinguished.
#[test]
fn errors_say_what_is_there() {
    let error = |bytes: &[u8]| entries_of(bytes).unwrap_err().to_string();
    let good = tree(20, 1);
    assert_eq!(error(b"PK\x03\x04"), "it is not a ROOT file");
    assert_eq!(error(b""), "it is not a ROOT file");
    assert_eq!(error(&file_of("TTree", "U", &good, &good)), "it has no T; it has U");
    assert_eq!(error(&file_of("TH1F", "T", &good, &good)), "its T is a TH1F, not a TTree");
    let old = tree(5, 1);
    assert!(matches!(entries_of(&file_of("TTree", "T", &old, &old)), Err(RootError::Unsupported(_))));
    let negative = tree(20, -1);
    assert!(matches!(entries_of(&file_of("TTree", "T", &negative, &negative)), Err(RootError::Damaged(_))));
    let whole = file_of("TTree", "T", &good, &good);
    assert!(matches!(entries_of(&whole[..whole.len() - 80]), Err(RootError::Damaged(_))));
    let mut longer = whole.clone();
    longer[12..16].copy_from_slice(&u32::try_from(whole.len() + 1).unwrap().to_be_bytes());
    assert!(matches!(entries_of(&longer), Err(RootError::CutOff { .. })));
}

/// [`tree`] of version 20 with 7 entries, by the programs zstd and xz.
const ZSTD: &[u8] =
    b"\x28\xb5\x2f\xfd\x04\x68\x3d\x01\x00\xa2\x42\x06\x0b\xe0\xad\x06\x80\x14\x7a\xc2\xd1\xee\x9d\x02\xe7\
    \x2f\x90\xb6\x80\xb4\x41\xda\x42\xda\xea\x41\x0b\x05\x10\x00\x28\xea\x3c\xf3\x8c\x2e\x88\x2f\x47\x22\
    \x5e\xb9";
const XZ: &[u8] =
    b"\xfd\x37\x7a\x58\x5a\x00\x00\x01\x69\x22\xde\x36\x02\x00\x21\x01\x1c\x00\x00\x00\x10\xcf\x58\xcc\xe0\
    \x01\x75\x00\x22\x5d\x00\x1f\xff\xfc\x27\x8d\xf7\x5f\x68\xaa\x20\x7e\x27\xf6\xfd\x33\xa2\x1f\x2d\x0b\
    \x86\xb6\xc6\x1c\x6c\x4d\x2c\xf6\xe9\xfd\x8d\x96\x90\x00\x00\x00\x00\x00\x92\xb6\x4d\x70\x00\x01\x3a\
    \xf6\x02\x00\x00\x00\x60\x9d\xc9\x0b\x3e\x30\x0d\x8b\x02\x00\x00\x00\x00\x01\x59\x5a";

/// A block of each method, with [`tree`] of version 20 with 7 entries in it.
fn block(method: usize) -> Vec<u8> {
    let tree = tree(20, 7);
    let len = |len: usize| u32::try_from(len).unwrap().to_le_bytes()[..3].to_vec();
    let (method, packed) = match method {
        0 => return zlib(&tree),
        1 => (b"XZ\0", XZ.to_vec()),
        2 => (b"ZS\x01", ZSTD.to_vec()),
        _ => (b"L4\x01", [&[0; 8][..], &lz4_flex::block::compress(&tree)].concat()),
    };
    [method.to_vec(), len(packed.len()), len(tree.len()), packed].concat()
}

/// Every method that ROOT has is read.
#[test]
fn all_methods_are_unpacked() {
    for method in 0..4 {
        assert_eq!(entries_of(&file_of("TTree", "T", &tree(20, 7), &block(method))).unwrap(), 7, "{method}");
    }
}

/// The list of keys, a block, and what a decoder itself needs.
const MEMORY_MAX: usize = 160 << 20;

fn any_root_file() -> impl Strategy<Value = Vec<u8>> {
    let tree = tree(20, 7);
    nearly(
        (0..5_usize).prop_map(move |method| {
            file_of("TTree", "T", &tree, &if method == 4 { tree.clone() } else { block(method) })
        }),
    )
}

proptest! {
    /// Promise 5: a file with any bytes in it is counted or refused.
    #[test]
    fn any_file_is_counted_or_refused(bytes in any_root_file()) {
        let _ = within(MEMORY_MAX, || entries_of(&bytes).is_ok());
    }

    /// The same for each decoder by itself.
    #[test]
    fn any_block_is_unpacked_or_refused(
        block in nearly((0..4_usize).prop_map(block)), method in 0..4_usize, packed: Vec<u8>, len in 0..100_000_u64
    ) {
        let method: &[u8] = [b"ZL", b"XZ", b"ZS", b"L4"][method];
        let _ = within(MEMORY_MAX, || unpack(method, &packed, len).is_ok());
        if let Some((header, packed)) = block.split_at_checked(BLOCK_HEADER_LEN) {
            let _ = within(MEMORY_MAX, || unpack(&header[..2], packed, 400).is_ok());
            let _ = within(MEMORY_MAX, || unpack(&header[..2], packed, (1 << 24) - 1).is_ok());
        }
    }
}

/// Lengths that claim gigabytes are refused, or bounded before memory is allocated.
#[test]
fn lying_lengths_cost_no_memory() {
    let good = tree(20, 7);
    let whole = file_of("TTree", "T", &good, &zlib(&good));
    // Every number of the headers and keys, one after the other.
    for at in 4..whole.len() - 3 {
        let mut bytes = whole.clone();
        for lie in [[0xff; 4], [0x7f, 0xff, 0xff, 0xff], [0, 0xff, 0xff, 0xff]] {
            bytes[at..at + 4].copy_from_slice(&lie);
            let _ = within(MEMORY_MAX, || entries_of(&bytes).is_ok());
        }
    }
}
