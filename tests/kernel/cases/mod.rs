//! The cases, by subject.

mod conformance;
mod damaged;
mod errors;
mod faults;
mod filesystem;
mod interrupted;
mod killed;
mod library;
mod life;
mod loss;
mod many;
mod mounts;
mod nameless;
mod namespaces;
mod node;
mod others;
mod present;
mod privileges;
mod protected;
mod readers;
mod repeated;
mod restarted;
mod safety;
mod shared;
mod signals;
mod traced;
mod unreachable;

use crate::case::Case;

/// Every case, in the order in which they run.
pub(crate) fn all() -> Vec<Case> {
    [
        life::CASES,
        errors::CASES,
        &faults::all(),
        filesystem::CASES,
        interrupted::CASES,
        killed::CASES,
        library::CASES,
        loss::CASES,
        many::CASES,
        mounts::CASES,
        nameless::CASES,
        namespaces::CASES,
        node::CASES,
        others::CASES,
        unreachable::CASES,
        shared::CASES,
        readers::CASES,
        damaged::CASES,
        repeated::CASES,
        restarted::CASES,
        present::CASES,
        privileges::CASES,
        protected::CASES,
        traced::CASES,
        conformance::CASES,
        safety::CASES,
        signals::CASES,
    ]
    .concat()
}
