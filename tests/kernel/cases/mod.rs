//! The cases, by subject.

mod errors;
mod life;
mod loss;
mod namespaces;
mod safety;
mod signals;

use crate::case::Case;

/// Every case, in the order in which they run.
pub(crate) fn all() -> Vec<Case> {
    [
        life::CASES,
        errors::CASES,
        loss::CASES,
        namespaces::CASES,
        safety::CASES,
        signals::CASES,
    ]
    .concat()
}
