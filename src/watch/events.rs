//! Waiting for a uevent that concerns NVMe, with or without a socket.
//!
//! Source of what is emitted: drivers/nvme/host/core.c and block/genhd.c of the kernel.

use std::error::Error;
use std::time::{Duration, Instant};

use nvme_sysfs::{Received, Uevent, UeventSocket};

/// Longest time between two looks: changes without an event are not urgent.
const PERIOD: Duration = Duration::from_secs(5);

/// The same where there are no events at all.
const PERIOD_WITHOUT_EVENTS: Duration = Duration::from_secs(1);

/// An event as it is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A device came, went or changed.
    Uevent(Uevent),
    /// Events were lost: the kernel's buffer was full, or one could not be understood.
    Lost,
}

/// The socket, if this machine lets us have one.
#[derive(Debug)]
pub(super) struct Events {
    socket: Option<UeventSocket>,
}

impl Events {
    pub(super) fn open() -> Events {
        match UeventSocket::open() {
            Ok(socket) => Events {
                socket: Some(socket),
            },
            Err(error) => {
                let error: &(dyn Error + 'static) = &error;
                tracing::warn!(
                    error,
                    "no uevents: changes are found by looking once a second"
                );
                Events { socket: None }
            }
        }
    }

    /// Returns when something may have changed, at the latest after a while. Events that are there
    /// already are taken together: one scan answers them all.
    pub(super) fn wait(&mut self, seen: &mut impl FnMut(Seen)) {
        let period = match self.socket {
            Some(_) => PERIOD,
            None => PERIOD_WITHOUT_EVENTS,
        };
        let mut deadline = Instant::now() + period;
        loop {
            match self.receive(deadline) {
                None => return,
                Some(event) if concerns_nvme(&event) => {
                    seen(event);
                    deadline = Instant::now();
                }
                Some(_) => {}
            }
        }
    }

    fn receive(&mut self, deadline: Instant) -> Option<Seen> {
        let Some(socket) = &self.socket else {
            std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
            return None;
        };
        match socket.receive(Some(deadline)) {
            Ok(Received::Uevent(event)) => Some(Seen::Uevent(event)),
            Ok(Received::TimedOut) => None,
            Ok(Received::Overrun) => Some(Seen::Lost),
            Err(error) => {
                let error: &(dyn Error + 'static) = &error;
                tracing::warn!(
                    error,
                    "no more uevents: changes are found by looking once a second"
                );
                self.socket = None;
                Some(Seen::Lost)
            }
        }
    }
}

fn concerns_nvme(seen: &Seen) -> bool {
    let Seen::Uevent(event) = seen else {
        return true;
    };
    let subsystem = event.subsystem.as_deref();
    matches!(subsystem, Some("block" | "nvme" | "nvme-subsystem"))
}
