//! A handler's result on its way from the process that computed it.
//!
//! It comes from a process of this program on this node, but is bytes all the same: checked, never trusted.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::{ListError, Made, TaskList, Tasks};
use crate::demand::list::{ListAsks, number};

const TASKS: u8 = 0;
const ERROR: u8 = 1;

impl Tasks {
    /// The bytes for a result.
    pub fn encode(result: Result<Self, ListError>) -> Vec<u8> {
        match result {
            Err(error) => [&[ERROR], error.to_string().as_bytes()].concat(),
            // Lists of lines are not sent this way.
            Ok(Self { list, asks, wants_output, are_lines: _, mut made }) => {
                let folders = std::mem::take(&mut made.folders);
                let mut bytes = vec![TASKS, u8::from(wants_output)];
                let counts = [folders.len(), list.ends.len()];
                bytes.extend(counts.iter().flat_map(|count| (*count as u64).to_le_bytes()));
                for folder in folders {
                    bytes.extend((folder.as_os_str().len() as u64).to_le_bytes());
                    bytes.extend(folder.as_os_str().as_bytes());
                }
                asks.encode(&mut bytes);
                bytes.reserve(list.ends.len() * 8 + list.text.len());
                bytes.extend(list.ends.iter().flat_map(|end| end.to_le_bytes()));
                bytes.extend(list.text);
                bytes
            }
        }
    }

    /// The result in the bytes; `None` if they are invalid.
    pub fn decode(mut bytes: Vec<u8>) -> Option<Result<Self, ListError>> {
        match *bytes.first()? {
            ERROR => return Some(Err(ListError::Message(String::from_utf8_lossy(&bytes[1..]).into_owned()))),
            TASKS => {}
            _ => return None,
        }
        let wants_output = *bytes.get(1)? == 1;
        let mut at = 2;
        let folder_count = number(&bytes, &mut at)?;
        let task_count = u32::try_from(number(&bytes, &mut at)?).ok()?;
        let mut made = Made::default();
        for _ in 0..folder_count {
            let len = usize::try_from(number(&bytes, &mut at)?).ok()?;
            let folder = bytes.get(at..at.checked_add(len)?)?;
            made.folders.push(OsString::from_vec(folder.to_vec()).into());
            at += len;
        }
        let asks = ListAsks::decode(&bytes, &mut at, task_count)?;
        let ends_end = at.checked_add(task_count as usize * 8)?;
        let ends: Vec<u64> = bytes
            .get(at..ends_end)?
            .chunks_exact(8)
            .map(|end| u64::from_le_bytes(end.try_into().expect("8 bytes")))
            .collect();
        bytes.drain(..ends_end);
        let in_order = ends.is_sorted() && ends.last().copied().unwrap_or(0) == bytes.len() as u64;
        let list = TaskList { text: bytes, ends };
        in_order.then_some(Ok(Self { list, asks, wants_output, are_lines: false, made }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::{nearly, within};

    fn any_encoded() -> impl Strategy<Value = Vec<u8>> {
        let commands = prop::collection::vec("[a-z ]{0,9}", 0..5);
        (commands, any::<bool>(), 0..3_usize).prop_map(|(commands, wants_output, folders)| {
            let list = TaskList::from_commands(commands.iter().map(String::as_bytes));
            let made = Made { folders: vec!["/no/such/folder".into(); folders] };
            Tasks::encode(Ok(Tasks { list, wants_output, made, ..Tasks::default() }))
        })
    }

    proptest! {
        /// A sent result arrives.
        #[test]
        fn any_result_arrives(commands: Vec<Vec<u8>>, wants_output: bool, error in "\\PC*") {
            let tasks = || Tasks {
                list: TaskList::from_commands(commands.iter().map(Vec::as_slice)),
                wants_output,
                made: Made { folders: vec!["/no/such/folder".into()] },
                ..Tasks::default()
            };
            let arrived = Tasks::decode(Tasks::encode(Ok(tasks()))).unwrap().unwrap();
            prop_assert_eq!(arrived, tasks());
            let told = Tasks::decode(Tasks::encode(Err(ListError::Message(error.clone())))).unwrap().unwrap_err();
            prop_assert_eq!(told.to_string(), error);
        }

        /// Promise 5: any bytes are a result or are refused.
        #[test]
        fn any_bytes_are_a_result_or_none(mut bytes: Vec<u8>, tag in 0..3_u8, encoded in nearly(any_encoded())) {
            bytes.insert(0, tag);
            for bytes in [bytes, encoded] {
                let len = bytes.len();
                let decoded = within(64 * len + 1_000, || Tasks::decode(bytes));
                if let Some(Ok(tasks)) = decoded {
                    for id in 0..tasks.list.len() {
                        let _ = tasks.list.command(crate::task::TaskId(id));
                    }
                    std::mem::take(&mut { tasks }.made.folders);
                }
            }
        }
    }
}
