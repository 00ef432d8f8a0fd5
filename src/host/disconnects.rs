//! Several controllers disconnected, or reset, at the same time.
//!
//! One whose peer is silent takes an admin command's time-out to go, a minute by default (`nvme_shutdown_ctrl` and
//! `admin_timeout` in drivers/nvme/host/core.c; seen: 62 s, and 31 s with I/O in flight), and as long to be reset. One
//! after the other, two paths would take longer than kubelet waits.

use std::path::Path;
use std::thread;

use nvme_fabrics::{DisconnectError, RescanError};
use nvme_sysfs::{Instance, Namespace, Nqn, Tree};

use super::Host;
use super::last_path::find_disks_losing_last_path;
use super::usage::{Look, find_any_use};
use crate::causes::chain;

/// What a thread needs that writes one attribute and waits.
const STACK: usize = 256 * 1024;

/// Disconnects each, and says in their order what came of it.
pub(crate) fn disconnect_all(
    host: &dyn Host,
    controllers: &[(Instance, &Nqn)],
) -> Vec<(Instance, Result<(), DisconnectError>)> {
    at_once(controllers, |controller, nqn| {
        host.disconnect(controller, nqn)
    })
}

/// Resets each, and says in their order what came of it.
pub(crate) fn reset_all(
    host: &dyn Host,
    controllers: &[(Instance, &Nqn)],
) -> Vec<(Instance, Result<(), RescanError>)> {
    at_once(controllers, |controller, nqn| host.reset(controller, nqn))
}

/// Leaves out the controllers with which somebody else would lose a disk: one that is in use, or may be as far as can be
/// told, and is none of ours.
pub(crate) fn without_needed(
    root: &Path,
    tree: &Tree,
    mut leaving: Vec<Instance>,
    is_ours: impl Fn(&Namespace) -> bool,
) -> Vec<Instance> {
    let losing: Vec<_> = find_disks_losing_last_path(tree, &leaving).collect();
    for disk in losing.into_iter().filter(|disk| !is_ours(disk)) {
        let used = find_any_use(root, [disk].into_iter(), Look::Visible);
        if let Some(used) = used.unwrap_or_else(|error| Some(chain(&error))) {
            let carriers: Vec<Instance> = tree.carriers_of(disk).map(|it| it.instance).collect();
            tracing::warn!(%used, ?carriers, "controllers stay, though I/O may wait in them");
            leaving.retain(|controller| !carriers.contains(controller));
        }
    }
    leaving
}

fn at_once<T: Send>(
    controllers: &[(Instance, &Nqn)],
    end: impl Fn(Instance, &Nqn) -> T + Sync,
) -> Vec<(Instance, T)> {
    let end = |(controller, nqn): (Instance, &Nqn)| end(controller, nqn);
    thread::scope(|scope| {
        let begun: Vec<_> = controllers
            .iter()
            .map(|of| {
                let builder = thread::Builder::new().name("disconnect".to_owned());
                // Where there can be no thread, its turn comes below.
                let thread = builder.stack_size(STACK).spawn_scoped(scope, || end(*of));
                (*of, thread.ok())
            })
            .collect();
        let ended = begun.into_iter().map(|(of, thread)| {
            let done = match thread {
                Some(thread) => thread.join().expect("neither of them panics"),
                None => end(of),
            };
            (of.0, done)
        });
        ended.collect()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

    use super::*;

    /// Longer than any machine takes to start a thread.
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn none_waits_for_another_and_each_is_answered_in_its_place() {
        let nqn: Nqn = "nqn.2026-01.org.example:a".parse().expect("an NQN");
        let controllers = [3, 1, 2].map(|number| (Instance(number), &nqn));
        let (begun, all) = (Mutex::new(0), Condvar::new());
        let meet = |controller: Instance, _: &Nqn| {
            let mut begun = begun.lock().expect("nobody panics");
            *begun += 1;
            all.notify_all();
            let met = all.wait_timeout_while(begun, LONG, |begun| *begun < controllers.len());
            assert!(!met.expect("nobody panics").1.timed_out(), "{controller}");
            controller
        };
        let answers = at_once(&controllers, meet);
        let wanted = [3, 1, 2].map(|number| (Instance(number), Instance(number)));
        assert_eq!(answers, wanted);
    }
}
