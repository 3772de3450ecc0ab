//! Messages ↔ bytes.
//!
//! Owns the encoding (bincode 2, standard configuration: little-endian, variable-length integers) and its
//! limits. Never panics on bytes from a peer and never allocates more than [`FRAME_LEN_MAX`] for them.

use bincode::config::{Configuration, Limit, LittleEndian, Varint, standard};
use bincode::{Decode, Encode};
use thiserror::Error;

/// Longest frame, in bytes: room for a tasklist line of many MiB and for any batch that this program makes.
pub(crate) const FRAME_LEN_MAX: usize = 64 << 20;

const _: () = assert!(FRAME_LEN_MAX <= i32::MAX as usize, "a frame is one MPI message, whose length is a C int");

/// Batches are closed when they reach this many bytes, so that one message never holds up a link for long.
pub(crate) const BATCH_BYTES: usize = 256 << 10;

const CONFIG: Configuration<LittleEndian, Varint, Limit<FRAME_LEN_MAX>> = standard().with_limit::<FRAME_LEN_MAX>();

/// Why bytes are not a message, or a message cannot become bytes.
#[derive(Debug, Error)]
pub enum CodecError {
    /// Not a message of this version of the protocol.
    #[error("the bytes are not a message of this protocol version: {0}")]
    Decode(#[from] bincode::error::DecodeError),
    /// A message followed by something else.
    #[error("{0} bytes are left over after the message")]
    Trailing(usize),
    /// Longer than [`FRAME_LEN_MAX`].
    #[error("the message has {0} bytes; {FRAME_LEN_MAX} are allowed")]
    TooLong(usize),
    /// The encoder failed; for the types of this crate it has no reason to.
    #[error("the message could not be encoded: {0}")]
    Encode(#[from] bincode::error::EncodeError),
}

/// Makes the bytes of a message.
///
/// # Errors
/// If the message is longer than [`FRAME_LEN_MAX`].
pub fn encode<M: Encode>(message: &M) -> Result<Vec<u8>, CodecError> {
    let bytes = bincode::encode_to_vec(message, standard())?;
    if bytes.len() > FRAME_LEN_MAX { Err(CodecError::TooLong(bytes.len())) } else { Ok(bytes) }
}

/// Decodes a message.
///
/// # Errors
/// If the bytes are anything but exactly one message.
pub fn decode<M: Decode<()>>(bytes: &[u8]) -> Result<M, CodecError> {
    if bytes.len() > FRAME_LEN_MAX {
        return Err(CodecError::TooLong(bytes.len()));
    }
    let (message, used) = bincode::decode_from_slice(bytes, CONFIG)?;
    if used == bytes.len() { Ok(message) } else { Err(CodecError::Trailing(bytes.len() - used)) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::demand::Demand;
    use crate::demand::classes::Class;
    use crate::protocol::*;
    use crate::runner::config::{Defined, Start};
    use crate::runner::fields::{Field, Template};
    use crate::task::*;

    /// A length that claims more bytes than there are must not be trusted: nothing of that size is allocated.
    #[test]
    fn a_lying_length_is_refused() {
        let mut bytes = encode(&ToFarmer::Log { level: 1, text: "x".repeat(300) }).unwrap();
        bytes[2..5].copy_from_slice(&[0xfd, 0xff, 0xff]);
        assert!(decode::<ToFarmer>(&bytes).is_err());
    }

    /// The bytes of each message are part of the protocol: if this fails, raise PROTOCOL_VERSION.
    #[test]
    fn golden_bytes() {
        let assign = ToWorker::Assign {
            seq: 7,
            tasks: vec![Assignment {
                id: TaskId(300),
                attempt: Attempt(2),
                class: Class(1),
                command: b"true".to_vec(),
            }],
        };
        let recall = ToWorker::Recall { count: 3 };
        let stop = ToWorker::Stop { level: StopLevel::Terminate };
        let report = ToFarmer::Report {
            results: vec![TaskResult {
                id: TaskId(1),
                attempt: Attempt(1),
                slot: 2,
                start_us: 3,
                duration_us: 4,
                outcome: Outcome::Signaled(9),
                timed_out: true,
                left_behind: false,
                user_us: 5,
                system_us: 6,
                max_rss_kib: 7,
            }],
            interrupted: Vec::new(),
            returned: vec![TaskId(8)],
            ack: 9,
            ack_age_us: 10,
            undecided: 11,
            recall_answered: true,
            pause_ms: 12,
        };
        let executing = vec![Executing { id: TaskId(1), slot: 2, start_us: 3, duration_us: 4 }];
        let pool_lost = ToFarmer::PoolLost { reason: "r".to_owned(), executing, can_restart: true };
        let unkept = Outcome::Exited(3).unkept("x".to_owned());
        let logs_failed = ToFarmer::LogsFailed { reason: "y".to_owned() };
        let holds = ToFarmer::Holds { seq: 14, tasks: vec![TaskId(15)] };
        let runner = RunnerConfig::Defined(Box::new(Defined {
            start: Start::Words {
                words: vec![Template::literal("a"), Template::around("b", Field::Id)],
                by_stdin: true,
            },
            setup: b"s".to_vec(),
            cwd: Some(Template::literal("/")),
            variables: vec![(b"V".to_vec(), Template::literal(""))],
            proc_number: true,
        }));
        let words = [2, 2, 1, 0, 1, b'a', 2, 0, 1, b'b', 1, 3, 0, 1];
        let rest = [1, b's', 1, 1, 0, 1, b'/', 1, 1, b'V', 1, 0, 0, 1];
        let defined = [&[1][..], &words, &rest].concat();
        let start = WorkerConfig {
            cwd: b"c".to_vec(),
            workdir: b"w".to_vec(),
            kinds: vec![Demand { cpus: 5, gpus: 6, memory_mib: 7 }],
            farmer_only_host: Some("h".to_owned()),
            ..WorkerConfig::plain(Rank(1), SlotCount::Fixed(2), Duration::from_millis(3))
        };
        let start = ToWorker::Start(Box::new(WorkerConfig { protocol: 99, ..start }));
        let capacity = Capacity { cpus: 2, gpus: 3, memory_mib: 4 };
        let hello = ToFarmer::Hello { protocol: 99, host: "h".to_owned(), slots: 1, capacity, shortage: None };
        let log = ToFarmer::Log { level: 3, text: "t".to_owned() };
        let golden: [(Vec<u8>, &[u8]); 20] = [
            (encode(&start).unwrap(), &[0, 99, 1, 2, 2, 1, 5, 6, 7, 3, 1, b'c', 1, b'w', 0, 0, 1, 1, b'h', 0, 2]),
            (encode(&hello).unwrap(), &[0, 99, 1, b'h', 1, 2, 3, 4, 0]),
            (encode(&log).unwrap(), &[7, 3, 1, b't']),
            (encode(&RunnerConfig::Basic).unwrap(), &[0]),
            (encode(&runner).unwrap(), &defined),
            (encode(&assign).unwrap(), &[1, 7, 1, 251, 44, 1, 2, 1, 4, b't', b'r', b'u', b'e']),
            (encode(&recall).unwrap(), &[2, 3]),
            (encode(&stop).unwrap(), &[3, 1]),
            (encode(&ToWorker::Heartbeat).unwrap(), &[4]),
            (encode(&report).unwrap(), &[1, 1, 1, 1, 2, 3, 4, 1, 9, 1, 0, 5, 6, 7, 0, 1, 8, 9, 10, 11, 1, 12]),
            (encode(&ToWorker::Rejoin { seq: 13 }).unwrap(), &[5, 13]),
            (encode(&ToWorker::Limit { us: 14 }).unwrap(), &[6, 14]),
            (encode(&ToWorker::Leave { skip_finalize: true }).unwrap(), &[7, 1]),
            (encode(&ToFarmer::Heartbeat).unwrap(), &[2]),
            (encode(&ToFarmer::Signaled { signal: 15 }).unwrap(), &[3, 15]),
            (encode(&ToFarmer::Stopped).unwrap(), &[4]),
            (encode(&pool_lost).unwrap(), &[5, 1, b'r', 1, 1, 2, 3, 4, 1]),
            (encode(&holds).unwrap(), &[8, 14, 1, 15]),
            (encode(&logs_failed).unwrap(), &[9, 1, b'y']),
            (encode(&unkept).unwrap(), &[3, 1, 3, 0, 1, b'x']),
        ];
        for (bytes, expected) in golden {
            assert_eq!(bytes, expected);
        }
        assert_eq!(decode::<ToWorker>(&encode(&assign).unwrap()).unwrap(), assign);
        assert_eq!(decode::<ToFarmer>(&encode(&report).unwrap()).unwrap(), report);
    }
}
