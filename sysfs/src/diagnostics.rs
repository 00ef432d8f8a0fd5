//! Counters in the directories `diag/` of controllers, paths and heads, on the newest kernels only (seen on 7.x).
//!
//! Invariant: a counter that the kernel does not have is absent, never zero.

/// What went wrong on a controller since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ControllerCounters {
    /// Admin commands that failed, `command_error_count`.
    pub command_errors: Option<u64>,
    /// Resets, `reset_count`.
    pub resets: Option<u64>,
    /// Reconnects, `reconnect_count`.
    pub reconnects: Option<u64>,
}

/// What went wrong on a path since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PathCounters {
    /// Commands sent again, `command_retries_count`.
    pub command_retries: Option<u64>,
    /// Commands that failed, `command_error_count`.
    pub command_errors: Option<u64>,
    /// Requests moved to another path, `multipath_failover_count`.
    pub failovers: Option<u64>,
}

/// What happened to the I/O of a head that had no path for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeadCounters {
    /// Requests kept because a path may come back, `io_requeue_no_usable_path_count`.
    pub requeued: Option<u64>,
    /// Requests failed because none may, `io_fail_no_available_path_count`.
    pub failed: Option<u64>,
}
