//! What the tests of decoders share: almost correct input, and a bound on what it may cost. Unit tests only.
//!
//! Random bytes are refused within the first few; correct bytes after an accident find the faults.

use proptest::prelude::*;
use proptest::sample::Index;

use crate::sys::heap_meter::peak_of;

/// What can happen to bytes.
#[derive(Clone, Debug)]
enum Accident {
    Cut(Index),
    Set(Index, u8),
    Flip(Index, u8),
    /// A number of this many bytes is replaced, in either byte order.
    Number(Index, usize, u64, bool),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    /// A piece is repeated somewhere else.
    Repeat(Index, usize, Index),
}

fn accident() -> impl Strategy<Value = Accident> {
    let place = any::<Index>;
    let number = prop_oneof![
        prop::sample::select(vec![0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 1 << 20, 1 << 26, i32::MAX as u64]),
        prop::sample::select(vec![u64::from(u32::MAX), 1 << 32, i64::MAX as u64, u64::MAX]),
        any::<u64>(),
    ];
    prop_oneof![
        1 => place().prop_map(Accident::Cut),
        3 => (place(), any::<u8>()).prop_map(|(at, byte)| Accident::Set(at, byte)),
        3 => (place(), 0..8_u8).prop_map(|(at, bit)| Accident::Flip(at, bit)),
        3 => (place(), prop::sample::select(vec![1, 2, 3, 4, 8]), number, any::<bool>())
            .prop_map(|(at, len, number, big)| Accident::Number(at, len, number, big)),
        2 => (place(), 1..20_usize).prop_map(|(at, len)| Accident::Remove(at, len)),
        1 => (place(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Accident::Insert(at, bytes)),
        2 => (place(), 1..60_usize, place()).prop_map(|(at, len, to)| Accident::Repeat(at, len, to)),
    ]
}

impl Accident {
    fn happen(self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        let within = |at: Index| at.index(len + 1);
        match self {
            Self::Cut(at) => bytes.truncate(within(at)),
            Self::Set(at, byte) => bytes.iter_mut().skip(within(at)).take(1).for_each(|old| *old = byte),
            Self::Flip(at, bit) => bytes.iter_mut().skip(within(at)).take(1).for_each(|old| *old ^= 1 << bit),
            Self::Number(at, len, number, big) => {
                let digits = if big { number.rotate_right(8 * len as u32).to_be_bytes() } else { number.to_le_bytes() };
                bytes.iter_mut().skip(within(at)).zip(&digits[..len]).for_each(|(old, new)| *old = *new);
            }
            Self::Remove(at, count) => drop(bytes.drain(within(at)..(within(at) + count).min(len))),
            Self::Insert(at, new) => drop(bytes.splice(within(at)..within(at), new)),
            Self::Repeat(at, count, to) => {
                let piece = bytes[within(at)..(within(at) + count).min(len)].to_vec();
                bytes.splice(within(to)..within(to), piece);
            }
        }
    }
}

/// These bytes after some accidents, or after none.
pub(crate) fn nearly(valid: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (valid, prop::collection::vec(accident(), 0..6)).prop_map(|(mut bytes, accidents)| {
        accidents.into_iter().for_each(|accident| accident.happen(&mut bytes));
        bytes
    })
}

/// The same for text, and always text.
pub(crate) fn nearly_text(valid: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    nearly(valid.prop_map(String::into_bytes)).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Decodes something that must not cost more memory than this, in bytes.
///
/// # Panics
/// If it does.
#[track_caller]
pub(crate) fn within<R>(limit: usize, decode: impl FnOnce() -> R) -> R {
    let (result, peak) = peak_of(decode);
    assert!(peak <= limit, "{peak} bytes of memory were asked for; {limit} are allowed");
    result
}
