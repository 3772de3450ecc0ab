//! The same interface as [`super::root`], built without ROOT.
//!
//! Owns what is said where events would have to be counted.

use std::path::Path;

use super::{Input, ListError};

/// The number of events in each file, which is known only if there are no files.
pub(super) fn count(inputs: &[Input<'_>], list: &Path) -> Result<Vec<u64>, ListError> {
    let Some(input) = inputs.first() else { return Ok(Vec::new()) };
    let what = format!(
        "cannot count the events of {}: this program was built without support for ROOT files\n  \
         build it with the Cargo feature root, or remove maxEventsPerJob from the handler: each file is then one task",
        crate::shown::text(input.name)
    );
    Err(ListError::content(list, input.line, &what))
}
