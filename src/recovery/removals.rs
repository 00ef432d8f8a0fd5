//! A map whose last disk goes is suspended at once, without a look: on a slow machine one look at 64 volumes takes longer
//! than each of them should keep a processor busy.
//!
//! A thread of its own hears the kernel's uevents of removed disks, and knows by the last look which disk is below the map
//! of which volume. It decides nothing: under the lock of the map the suspend asks the kernel whether each of its disks is gone. What is missed here,
//! the next look finds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nvme_sysfs::{Action, DevT, Received, Uevent, UeventSocket};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::causes::chain;
use crate::volume::{VolumeId, Volumes};

/// How many maps are suspended at the same time. The kernel waits within each for a grace period of RCU, some 16 ms without
/// work for a processor; those of several maps are one.
const SUSPENDING: usize = 32;
/// Of a thread that suspends, in bytes. It is there for as long as that takes: one that rests costs 100 KiB of memory.
const STACK: usize = 256 * 1024;
/// How often the thread looks whether it is to end.
const PERIOD: Duration = Duration::from_secs(5);

/// The disks below the maps of the volumes that are staged here.
type Below = BTreeMap<DevT, VolumeId>;

/// Hears of disks that go.
#[derive(Debug, Default)]
pub(super) struct Removals {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    below: Mutex<Below>,
    ended: AtomicBool,
}

impl Shared {
    fn below(&self) -> MutexGuard<'_, Below> {
        self.below.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Tells `gone` of each volume whose disk has gone, until the end.
    fn listen(&self, socket: &UeventSocket, gone: &UnboundedSender<VolumeId>) {
        while !self.has_ended() {
            match socket.receive(Some(Instant::now() + PERIOD)) {
                Ok(Received::Uevent(event)) => {
                    if let Some(volume) = find_bereft(&event, &self.below())
                        && gone.send(volume).is_err()
                    {
                        return;
                    }
                }
                // The look finds what was missed.
                Ok(Received::TimedOut | Received::Overrun) => {}
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(error, "a map is suspended by the next look only");
                    return;
                }
            }
        }
    }
}

impl Removals {
    /// Suspends from now on, on the runtime of the caller. Without uevents nothing happens here; the watch tells of that.
    pub(super) fn follow(&self, volumes: &Arc<Volumes>) {
        let (sender, gone) = unbounded_channel();
        let shared = Arc::clone(&self.shared);
        let listen = move || {
            if let Ok(socket) = UeventSocket::open() {
                shared.listen(&socket, &sender);
            }
        };
        let thread = thread::Builder::new().name("removals".to_owned());
        if let Err(error) = thread.spawn(listen) {
            let error = chain(&error);
            tracing::warn!(error, "a map is suspended by the next look only");
        }
        let (shared, volumes) = (Arc::clone(&self.shared), Arc::clone(volumes));
        tokio::spawn(suspend_each(gone, move |volume| {
            suspend(&shared, &volumes, volume)
        }));
    }

    /// What the last look has found below the maps.
    pub(super) fn know(&self, below: Below) {
        *self.shared.below() = below;
    }

    /// Begins no suspend any more: a process that ends within one leaves the map half changed.
    pub(super) fn end(&self) {
        self.shared.ended.store(true, Ordering::Release);
    }
}

impl Drop for Removals {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whose disk it is, if one has gone.
fn find_bereft(event: &Uevent, below: &Below) -> Option<VolumeId> {
    let is_removed = event.action == Action::Remove && event.subsystem.as_deref() == Some("block");
    let dev = event.dev().filter(|_| is_removed)?;
    below.get(&dev).cloned()
}

async fn suspend_each(
    mut gone: UnboundedReceiver<VolumeId>,
    suspend: impl Fn(&VolumeId) + Clone + Send + 'static,
) {
    let places = Arc::new(Semaphore::new(SUSPENDING));
    while let Some(volume) = gone.recv().await {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let suspend = suspend.clone();
        let thread = thread::Builder::new().name("gone".to_owned());
        let job = move || {
            suspend(&volume);
            drop(place);
        };
        if let Err(error) = thread.stack_size(STACK).spawn(job) {
            let error = chain(&error);
            tracing::warn!(error, "a map is suspended by the next look only");
        }
    }
}

fn suspend(shared: &Shared, volumes: &Volumes, volume: &VolumeId) {
    if shared.has_ended() {
        return;
    }
    match volumes.holds().suspend_gone(volume) {
        Ok(came) => tracing::debug!(%volume, ?came, "its disk has gone"),
        // The next look tells, and tries again.
        Err(error) => tracing::debug!(%volume, error = chain(&error), "its disk has gone"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Uevent {
        Uevent::parse(text.replace(' ', "\0").as_bytes()).expect("an event")
    }

    #[test]
    fn a_volume_is_bereft_by_the_removal_of_its_disk_alone() {
        let volume: VolumeId = "volume-1".parse().expect("a volume");
        let dev = DevT {
            major: 259,
            minor: 3,
        };
        let below = Below::from([(dev, volume.clone())]);
        let removed = |subsystem: &str, minor: u32| {
            event(&format!(
                "remove@/devices/x ACTION=remove DEVPATH=/devices/x SUBSYSTEM={subsystem} MAJOR=259 MINOR={minor} SEQNUM=7 "
            ))
        };
        assert_eq!(
            find_bereft(&removed("block", 3), &below),
            Some(volume.clone())
        );
        assert_eq!(find_bereft(&removed("block", 4), &below), None);
        assert_eq!(find_bereft(&removed("nvme", 3), &below), None);
        let changed = event(
            "change@/devices/x ACTION=change DEVPATH=/devices/x SUBSYSTEM=block MAJOR=259 MINOR=3 SEQNUM=7 ",
        );
        assert_eq!(find_bereft(&changed, &below), None);
    }
}
