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

/// Longest time that events without end hold up a look.
const BURST: Duration = Duration::from_millis(100);

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
    pub(super) fn of(socket: UeventSocket) -> Events {
        Events {
            socket: Some(socket),
        }
    }

    pub(super) fn open() -> Events {
        match UeventSocket::open() {
            Ok(socket) => Events::of(socket),
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

    /// Returns when something may have changed, not before `rested`, and at the latest after a while.
    /// Events that are there already are taken together: one scan answers them all.
    pub(super) fn wait(&mut self, rested: Instant, seen: &mut impl FnMut(Seen)) {
        let period = match self.socket {
            Some(_) => PERIOD,
            None => PERIOD_WITHOUT_EVENTS,
        };
        let mut deadline = rested.max(Instant::now() + period);
        let mut first = None;
        loop {
            match self.receive(deadline) {
                None => return,
                Some(event) if concerns_nvme(&event) => {
                    seen(event);
                    let now = Instant::now();
                    deadline = rested.max(now);
                    if now >= rested.max(*first.get_or_insert(now) + BURST) {
                        return;
                    }
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

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};

    use super::*;

    const OF_A_DISK: &[u8] = b"change@/devices/x\0ACTION=change\0SUBSYSTEM=block\0";

    #[test]
    fn events_without_end_do_not_hold_up_a_look() {
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let (ours, theirs) = socketpair(family, kind, SocketFlags::CLOEXEC, None).expect("a pair");
        let mut events = Events::of(UeventSocket::replaying(ours));
        let began = Instant::now();
        let one_more = || send(&theirs, OF_A_DISK, SendFlags::NOSIGNAL).expect("sent");
        one_more();
        events.wait(began, &mut |_| {
            if began.elapsed() < PERIOD {
                one_more();
            }
        });
        let took = began.elapsed();
        assert!(took >= BURST && took < PERIOD, "{took:?}");
    }

    #[test]
    fn events_end_no_wait_before_the_rest_is_over() {
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let (ours, theirs) = socketpair(family, kind, SocketFlags::CLOEXEC, None).expect("a pair");
        let mut events = Events::of(UeventSocket::replaying(ours));
        let one_more = || send(&theirs, OF_A_DISK, SendFlags::NOSIGNAL).expect("sent");
        one_more();
        let rested = Instant::now() + 2 * BURST;
        let mut taken = 0;
        events.wait(rested, &mut |_| {
            taken += 1;
            if taken == 1 {
                one_more();
            }
        });
        assert!(Instant::now() >= rested);
        assert_eq!(taken, 2);
    }
}
