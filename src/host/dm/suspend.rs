//! Suspending a map, which may have to wait for I/O below it.
//!
//! The kernel first gets back what it has sent down (`__dm_suspend` in drivers/md/dm.c): within
//! milliseconds where the disk below is gone, and not before that ends where it waits there, say in a head
//! with another controller that is still `connecting`. That wait ends by a signal. The map is active then, but
//! no longer queues (`multipath_presuspend` in dm-mpath.c has no counterpart for a suspend that is given up;
//! seen on 6.1 and 6.12), and what was held back is sent before the call returns. So it is told to queue before it
//! gets the signal. A process that is killed in that wait tells nobody: what waits then fails, and so does what comes
//! until the next plugin tells the map to queue.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use super::change::queue_if_no_path;
use super::control::{Control, DEV_SUSPEND, describe, flag};
use super::error::MapError;
use super::id::MapId;
use crate::host::interrupt;

/// How long to wait for what is below: much longer than it takes where nothing waits there.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the signal is repeated: one that comes before the call does nothing.
const AGAIN: Duration = Duration::from_millis(20);
/// What the thread of one call needs.
const STACK: usize = 128 * 1024;

/// Suspends a map, without flushing what waits in it and without freezing the filesystem above.
pub(crate) fn suspend(root: &Path, map: MapId) -> Result<(), MapError> {
    let call = || describe("DM_DEV_SUSPEND", map, "suspend");
    let failed = |source| MapError::Call {
        call: call(),
        source,
    };
    let control = Control::open(root)?;
    interrupt::allow().map_err(|errno| failed(Errno::from_raw_os_error(errno as i32)))?;
    let (done, ended) = channel();
    let flags = flag::SUSPEND | flag::NOFLUSH | flag::SKIP_LOCKFS;
    let suspend = move || {
        let answer = control.call::<DEV_SUSPEND>(map, None, flags, &[]);
        // The other side waits for the thread in any case.
        let _heard = done.send(());
        answer.map(drop)
    };
    let builder = thread::Builder::new().name("suspend".to_owned());
    let thread = builder.stack_size(STACK).spawn(suspend);
    let thread = thread.map_err(|error| {
        let errno = Errno::from_io_error(&error);
        failed(errno.unwrap_or(Errno::AGAIN))
    })?;
    let mut patience = PATIENCE;
    while is_under_way(&ended, patience) {
        // The kernel sends what it held back before the call returns: it has to queue before that.
        let _asked_again_below = queue_if_no_path(root, map);
        let _it_may_have_ended = interrupt::wake(&thread);
        patience = AGAIN;
    }
    match thread.join().expect("a system call does not panic") {
        Ok(()) => Ok(()),
        Err(Errno::INTR) => match queue_if_no_path(root, map) {
            // `linear` takes no message (EINVAL), and is after a suspend that was given up what it was before.
            Ok(())
            | Err(MapError::Call {
                source: Errno::INVAL,
                ..
            }) => Err(MapError::Waits { call: call() }),
            Err(error) => Err(error),
        },
        Err(Errno::NXIO) => Err(MapError::Missing { map }),
        Err(source) => Err(failed(source)),
    }
}

fn is_under_way(ended: &Receiver<()>, patience: Duration) -> bool {
    ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout)
}
