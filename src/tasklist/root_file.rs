//! ROOT files: how many entries a tree has.
//!
//! Owns only as much of the format as that requires: the file's header, the keys of its top folder, and the first
//! fields of a TTree. Branches and baskets are never read, so a file of any size costs a few reads. Whatever is in a
//! file, the worst result is an error; a file that is too old or too new is [`RootError::Unsupported`], and other
//! software may be asked.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use thiserror::Error;

/// Longest list of keys that is read, in bytes.
const KEYS_LEN_MAX: u64 = 64 << 20;

/// The number of entries is well within this many bytes of a tree.
const TREE_HEAD_LEN: usize = 64 << 10;

/// Keys and values of a compressed block: 9 bytes of header, then at most 2^24 - 1.
const BLOCK_HEADER_LEN: usize = 9;

/// Compressors look back no further than a block is long, or slightly more; a decoder allocates that much immediately.
const WINDOW_LEN_MAX: u64 = 1 << 25;

/// Since this version of the class (ROOT 5.00), TTree stores its entries as an integer; before, it was a float.
const TREE_VERSION_MIN: u16 = 16;

/// Names in a message, at most.
const NAMED_MAX: usize = 10;

/// Why a tree's entries are not known.
#[derive(Debug, Error)]
pub(super) enum RootError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is not a ROOT file")]
    NotRoot,
    #[error("it has no {tree}{}", found(names))]
    NoTree { tree: String, names: Vec<String> },
    #[error("its {tree} is a {class}, not a TTree")]
    NotATree { tree: String, class: String },
    #[error("it is cut off: it has {len} of its {wanted} bytes")]
    CutOff { len: u64, wanted: u64 },
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    #[error("{0}")]
    Unsupported(String),
}

fn found(names: &[String]) -> String {
    match names {
        [] => "; it is empty".to_owned(),
        names if names.len() > NAMED_MAX => format!("; it has {}, …", names[..NAMED_MAX].join(", ")),
        names => format!("; it has {}", names.join(", ")),
    }
}

/// Numbers are big-endian; anything missing is damage.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

const SHORT: RootError = RootError::Damaged("it ends too early");

impl<'a> Cursor<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], RootError> {
        let end = self.at.checked_add(len).ok_or(SHORT)?;
        let taken = self.bytes.get(self.at..end).ok_or(SHORT)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RootError> {
        Ok(self.take(N)?.try_into().expect("it has this length"))
    }

    fn u8(&mut self) -> Result<u8, RootError> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, RootError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, RootError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, RootError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// A position in the file: 8 bytes if the record is for files beyond 2 GiB.
    fn place(&mut self, big: bool) -> Result<u64, RootError> {
        if big { self.u64() } else { Ok(u64::from(self.u32()?)) }
    }

    fn string(&mut self) -> Result<String, RootError> {
        let len = match self.u8()? {
            255 => self.u32()? as usize,
            len => usize::from(len),
        };
        Ok(String::from_utf8_lossy(self.take(len)?).into_owned())
    }

    /// The length and version before an object: where the object ends, and the version.
    fn object(&mut self) -> Result<(usize, u16), RootError> {
        const HAS_LENGTH: u32 = 0x4000_0000;
        let word = self.u32()?;
        if word & HAS_LENGTH == 0 {
            return Err(RootError::Unsupported("its tree is of a very old kind".to_owned()));
        }
        let end = self.at.checked_add((word & !HAS_LENGTH) as usize).ok_or(SHORT)?;
        Ok((end, self.u16()?))
    }

    fn skip_object(&mut self) -> Result<(), RootError> {
        self.at = self.object()?.0;
        Ok(())
    }
}

/// The location of an object in the file.
struct Key {
    class: String,
    name: String,
    cycle: u16,
    /// Its position and length on disk, including its own header; the header's length; the object's length in memory.
    place: u64,
    len: u64,
    header_len: u64,
    object_len: u64,
}

fn read_key(cursor: &mut Cursor<'_>) -> Result<Key, RootError> {
    let len = cursor.u32()?;
    let version = cursor.u16()?;
    let object_len = cursor.u32()?;
    cursor.take(4)?; // When it was written.
    let (header_len, cycle) = (cursor.u16()?, cursor.u16()?);
    let big = version > 1000;
    let place = cursor.place(big)?;
    cursor.place(big)?; // Its folder.
    let (class, name) = (cursor.string()?, cursor.string()?);
    cursor.string()?; // Its title.
    Ok(Key { class, name, cycle, place, len: len.into(), header_len: header_len.into(), object_len: object_len.into() })
}

fn read_at(file: &File, place: u64, len: u64) -> Result<Vec<u8>, RootError> {
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| SHORT)?];
    file.read_exact_at(&mut bytes, place).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => SHORT,
        _ => RootError::Io(error),
    })?;
    Ok(bytes)
}

/// The keys of the top folder.
fn read_keys(file: &File) -> Result<Vec<Key>, RootError> {
    let mut head = [0; 64];
    let head_len = read_head(file, &mut head)?;
    if !head[..head_len].starts_with(b"root") {
        return Err(RootError::NotRoot);
    }
    let mut header = Cursor::new(&head[4..head_len]);
    let big = header.u32()? >= 1_000_000;
    let begin = header.u32()?;
    let wanted = header.place(big)?;
    let len = file.metadata()?.len();
    if len < wanted {
        return Err(RootError::CutOff { len, wanted });
    }
    header.place(big)?; // Where the free places are listed.
    header.take(8)?; // How many bytes and places that list has.
    let name_len = header.u32()?;

    // Version, two dates, how long the keys are; the folder's own name, its position, its parent's, its keys'.
    const FOLDER_LEN: u64 = 2 + 8 + 8 + 3 * 8;
    let place = u64::from(begin) + u64::from(name_len);
    let folder = read_at(file, place, FOLDER_LEN)?;
    let mut folder = Cursor::new(&folder);
    let big = folder.u16()? > 1000;
    folder.take(8)?;
    let keys_len = u64::from(folder.u32()?);
    folder.take(4)?;
    folder.place(big)?;
    folder.place(big)?;
    let keys_place = folder.place(big)?;
    if keys_place == 0 || keys_len == 0 {
        return Err(RootError::Damaged("it was not closed by the program that wrote it"));
    }
    if keys_len > KEYS_LEN_MAX {
        return Err(RootError::Damaged("its list of contents is too long"));
    }
    let keys = read_at(file, keys_place, keys_len)?;
    let mut cursor = Cursor::new(&keys);
    let list = read_key(&mut cursor)?;
    cursor.at = usize::try_from(list.header_len).map_err(|_| SHORT)?;
    let count = cursor.u32()?;
    // No capacity from the file: a wrong count ends with the bytes.
    (0..count).map(|_| read_key(&mut cursor)).collect()
}

fn read_head(file: &File, head: &mut [u8]) -> Result<usize, RootError> {
    let mut len = 0;
    while len < head.len() {
        match file.read_at(&mut head[len..], len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(len)
}

/// The first bytes of an object.
fn read_object_head(file: &File, key: &Key) -> Result<Vec<u8>, RootError> {
    let len = key.len.checked_sub(key.header_len).ok_or(RootError::Damaged("an object has no length"))?;
    let place = key.place.checked_add(key.header_len).ok_or(SHORT)?;
    if len >= key.object_len {
        return read_at(file, place, key.object_len.min(TREE_HEAD_LEN as u64));
    }
    let header = read_at(file, place, BLOCK_HEADER_LEN as u64)?;
    let len_at = |at: usize| u64::from(u32::from_le_bytes([header[at], header[at + 1], header[at + 2], 0]));
    let (packed_len, unpacked_len) = (len_at(3), len_at(6));
    if packed_len > len {
        return Err(RootError::Damaged("a compressed block is longer than its object"));
    }
    let packed = read_at(file, place + BLOCK_HEADER_LEN as u64, packed_len)?;
    unpack(&header[..2], &packed, unpacked_len)
}

/// The first bytes of a compressed block; no more is requested from a decoder.
fn unpack(method: &[u8], packed: &[u8], unpacked_len: u64) -> Result<Vec<u8>, RootError> {
    const BAD: RootError = RootError::Damaged("a compressed block cannot be unpacked");
    let wanted = unpacked_len.min(TREE_HEAD_LEN as u64);
    let mut head = Vec::new();
    match method {
        b"ZL" => flate2::read::ZlibDecoder::new(packed).take(wanted).read_to_end(&mut head).map_err(|_| BAD)?,
        b"XZ" => lzma_rust2::XzReader::new(packed, false).take(wanted).read_to_end(&mut head).map_err(|_| BAD)?,
        b"ZS" => {
            let decoder = ruzstd::decoding::StreamingDecoder::new_with_max_window_size(packed, WINDOW_LEN_MAX);
            let decoder = decoder.map_err(|_| BAD)?;
            decoder.take(wanted).read_to_end(&mut head).map_err(|_| BAD)?
        }
        b"L4" => {
            // A checksum comes first.
            const CHECKSUM_LEN: usize = 8;
            let packed = packed.get(CHECKSUM_LEN..).ok_or(BAD)?;
            head = lz4_flex::block::decompress(packed, usize::try_from(unpacked_len).map_err(|_| BAD)?)
                .map_err(|_| BAD)?;
            head.truncate(TREE_HEAD_LEN);
            head.len()
        }
        other => {
            let name = String::from_utf8_lossy(other).into_owned();
            return Err(RootError::Unsupported(format!("its compression '{name}' is not known")));
        }
    };
    Ok(head)
}

/// How many entries the TTree of this name in the top folder has.
pub(super) fn entries(path: &Path, tree: &str) -> Result<u64, RootError> {
    let file = File::open(path)?;
    let keys = read_keys(&file)?;
    let Some(key) = keys.iter().filter(|key| key.name == tree).max_by_key(|key| key.cycle) else {
        let mut names: Vec<String> = keys.into_iter().map(|key| key.name).collect();
        names.dedup();
        return Err(RootError::NoTree { tree: tree.to_owned(), names });
    };
    if key.class != "TTree" {
        return Err(RootError::NotATree { tree: tree.to_owned(), class: key.class.clone() });
    }
    let object = read_object_head(&file, key)?;
    let mut cursor = Cursor::new(&object);
    let (_, version) = cursor.object()?;
    if version < TREE_VERSION_MIN {
        return Err(RootError::Unsupported(format!("its tree is of version {version}, from ROOT before 5.00")));
    }
    // TNamed, TAttLine, TAttFill and TAttMarker, which come first in it.
    for _ in 0..4 {
        cursor.skip_object()?;
    }
    let entries = cursor.u64()?;
    if i64::try_from(entries).is_err() { Err(RootError::Damaged("a tree has a negative size")) } else { Ok(entries) }
}

#[cfg(test)]
mod tests {
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
        nearly((0..5_usize).prop_map(move |method| {
            file_of("TTree", "T", &tree, &if method == 4 { tree.clone() } else { block(method) })
        }))
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
}
