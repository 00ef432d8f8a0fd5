//! What the program settles with the kernel about itself, before it has a second thread.
//!
//! Nothing here is necessary for serving volumes: what the kernel refuses, as it does to a program
//! without privileges, is told in the log.

use std::path::Path;

use crate::causes::chain;
use crate::host::{memory_lock, oom_score, privileges};

/// Gives up privileges, and sees to it that the plugin runs when memory is short.
pub(super) fn settle(root: &Path) {
    if let Err(error) = privileges::drop_unneeded() {
        let error = chain(&error);
        tracing::warn!(error, "privileges that are not needed stay");
    }
    if let Err(error) = memory_lock::lock_memory() {
        let error = chain(&error);
        tracing::warn!(error, "the memory of the plugin may be swapped out");
    }
    if let Err(error) = oom_score::be_among_the_last(root) {
        let error = chain(&error);
        tracing::warn!(error, "the plugin may be ended when memory runs out");
    }
}
