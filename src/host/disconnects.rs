//! Several controllers disconnected at the same time.
//!
//! One whose peer is silent takes an admin command's time-out to go, a minute by default (`nvme_shutdown_ctrl` and
//! `admin_timeout` in drivers/nvme/host/core.c; seen: 62 s, and 31 s with I/O in flight). One after the other, two paths
//! would take longer than kubelet waits.

use std::thread;

use nvme_fabrics::DisconnectError;
use nvme_sysfs::{Instance, Nqn};

use super::Host;

/// What a thread needs that writes one attribute and waits.
const STACK: usize = 256 * 1024;

/// Disconnects each, and says in their order what came of it.
pub(crate) fn disconnect_all(
    host: &dyn Host,
    controllers: &[(Instance, &Nqn)],
) -> Vec<(Instance, Result<(), DisconnectError>)> {
    let disconnect = |(controller, nqn): (Instance, &Nqn)| host.disconnect(controller, nqn);
    thread::scope(|scope| {
        let begun: Vec<_> = controllers
            .iter()
            .map(|of| {
                let builder = thread::Builder::new().name("disconnect".to_owned());
                // Where there can be no thread, its turn comes below.
                let thread = builder
                    .stack_size(STACK)
                    .spawn_scoped(scope, || disconnect(*of));
                (*of, thread.ok())
            })
            .collect();
        let ended = begun.into_iter().map(|(of, thread)| {
            let done = match thread {
                Some(thread) => thread.join().expect("a disconnect does not panic"),
                None => disconnect(of),
            };
            (of.0, done)
        });
        ended.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::linux::{LinuxHost, Timeouts};

    #[test]
    fn a_controller_that_is_gone_is_a_success_among_others() {
        let root = tempfile::tempdir().expect("a directory");
        let host = LinuxHost::new(root.path(), Timeouts::default());
        let nqn: Nqn = "nqn.2026-01.org.example:a".parse().expect("an NQN");
        let controllers = [(Instance(3), &nqn), (Instance(1), &nqn)];
        let done = disconnect_all(&host, &controllers);
        let order: Vec<_> = done.iter().map(|(controller, _)| *controller).collect();
        assert_eq!(order, [Instance(3), Instance(1)]);
    }
}
