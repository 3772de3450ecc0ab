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

/// The header of the file is shorter, in bytes.
const HEAD_LEN: u64 = 64;

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
    let mut head = Vec::new();
    file.take(HEAD_LEN).read_to_end(&mut head)?;
    let mut header = Cursor::new(head.strip_prefix(b"root").ok_or(RootError::NotRoot)?);
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
        cursor.at = cursor.object()?.0;
    }
    let entries = cursor.u64()?;
    if i64::try_from(entries).is_err() { Err(RootError::Damaged("a tree has a negative size")) } else { Ok(entries) }
}

#[cfg(test)]
mod tests;
