//! The name of this node.

/// Its host name; `unknown` if it has none that can be read.
#[must_use]
pub fn name() -> String {
    nix::unistd::gethostname().map_or_else(|_| "unknown".to_owned(), |name| name.to_string_lossy().into_owned())
}
