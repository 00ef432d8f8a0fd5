//! An error with its causes, for the places where errors leave the program: the terminal, the log and
//! the answer to a call.

use std::error::Error;

/// The error and its causes, joined by colons.
pub(crate) fn chain<E: Error + ?Sized>(error: &E) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("cannot read the tree")]
    struct Outer(#[source] io::Error);

    #[test]
    fn a_chain_names_each_cause_once() {
        let error = Outer(io::Error::other("the disk is on fire"));
        assert_eq!(chain(&error), "cannot read the tree: the disk is on fire");
    }
}
