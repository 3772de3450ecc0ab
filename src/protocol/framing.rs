//! Frames on a byte stream: a length (4 bytes, little-endian), then that many bytes.
//!
//! Owns splitting and joining frames on the socket between an MPI process and its pool. MPI keeps message boundaries
//! itself and needs none of this. Never looks inside a frame and never does I/O.

use std::io;

use thiserror::Error;

use super::codec::FRAME_LEN_MAX;

const LEN_BYTES: usize = 4;

/// A peer announced a longer frame than the protocol allows; the rest of the stream cannot be interpreted.
#[derive(Debug, Error)]
#[error("a frame of {0} bytes was announced; {FRAME_LEN_MAX} are allowed")]
pub struct FrameTooLong(pub usize);

/// Appends `payload` as a frame.
///
/// # Panics
/// If it is longer than [`FRAME_LEN_MAX`], which [`super::codec::encode`] prevents.
pub(crate) fn push_frame(out: &mut Vec<u8>, payload: &[u8]) {
    assert!(payload.len() <= FRAME_LEN_MAX, "frame of {} bytes", payload.len());
    let len = u32::try_from(payload.len()).expect("FRAME_LEN_MAX fits into u32");
    out.reserve(LEN_BYTES + payload.len());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(payload);
}

/// Appends an outgoing message as a frame. One that cannot be encoded (longer than any link carries) is dropped and
/// logged: the peer could not use it either.
pub fn push_message<M: bincode::Encode>(out: &mut Vec<u8>, message: &M) {
    match super::codec::encode(message) {
        Ok(bytes) => push_frame(out, &bytes),
        Err(error) => log::error!("a message was dropped: {error}"),
    }
}

/// Writes as much of `out` as `write` takes without blocking, and keeps the rest.
///
/// # Errors
/// If the other end is gone.
pub(crate) fn write_some(out: &mut Vec<u8>, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<()> {
    let mut done = 0;
    let result = loop {
        if done == out.len() {
            break Ok(());
        }
        match write(&out[done..]) {
            Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => done += len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    out.drain(..done);
    result
}

/// Collects bytes as they arrive and returns them frame by frame.
#[derive(Debug, Default)]
pub struct FrameReader {
    bytes: Vec<u8>,
    start: usize,
}

impl FrameReader {
    /// Takes in what was read.
    pub fn extend(&mut self, bytes: &[u8]) {
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        } else if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` until more bytes are there.
    ///
    /// # Errors
    /// If the announced length is not allowed. The stream is useless from then on.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameTooLong> {
        let rest = &self.bytes[self.start..];
        let Some((len, rest)) = rest.split_first_chunk::<LEN_BYTES>() else { return Ok(None) };
        let len = u32::from_le_bytes(*len) as usize;
        if len > FRAME_LEN_MAX {
            return Err(FrameTooLong(len));
        }
        if rest.len() < len {
            return Ok(None);
        }
        self.start += LEN_BYTES + len;
        Ok(Some(&rest[..len]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::{nearly, within};

    proptest! {
        /// However the stream is cut, the frames come out as they went in.
        #[test]
        fn frames_survive_any_cut(frames: Vec<Vec<u8>>, cut in 1_usize..9) {
            let mut stream = Vec::new();
            for frame in &frames {
                push_frame(&mut stream, frame);
            }
            let mut reader = FrameReader::default();
            let mut got = Vec::new();
            for piece in stream.chunks(cut) {
                reader.extend(piece);
                while let Some(frame) = reader.next_frame().unwrap() {
                    got.push(frame.to_vec());
                }
            }
            prop_assert_eq!(got, frames);
        }
    }

    fn any_stream() -> impl Strategy<Value = Vec<u8>> {
        let frame = prop::collection::vec(any::<u8>(), 0..40);
        prop::collection::vec(frame, 0..6).prop_map(|frames| {
            let mut stream = Vec::new();
            frames.iter().for_each(|frame| push_frame(&mut stream, frame));
            stream
        })
    }

    proptest! {
        /// Promise 5: any bytes are frames or refused, and no more is kept than has arrived.
        #[test]
        fn any_stream_is_read_or_refused(
            stream in nearly(any_stream()), stray: Vec<u8>, cut in 1_usize..50
        ) {
            for stream in [stream, stray] {
                within(4 * stream.len() + 1_000, || {
                    let mut reader = FrameReader::default();
                    for piece in stream.chunks(cut) {
                        reader.extend(piece);
                        while let Ok(Some(frame)) = reader.next_frame() {
                            assert!(frame.len() <= stream.len());
                        }
                    }
                });
            }
        }
    }

    /// Promise 5: a peer cannot make the program wait for, or allocate, gigabytes.
    #[test]
    fn a_length_beyond_the_limit_is_an_error() {
        let mut reader = FrameReader::default();
        reader.extend(&u32::MAX.to_le_bytes());
        assert!(reader.next_frame().is_err());
    }
}
