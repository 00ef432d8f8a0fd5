//! Gives up the privileges that the node plugin does not need.
//!
//! Kubernetes propagates mounts for privileged containers only, so the plugin starts with every
//! capability that there is. It keeps [`NEEDED`], and with `no_new_privs` no program that it starts
//! can have more.
//!
//! Invariant: a thread has its own capabilities and hands them on to the threads and programs that it
//! starts (capabilities(7)), so they are given up before there is a second thread.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use thiserror::Error;

/// What is kept, by the names of capabilities(7). `deploy/README.md` says what each is for.
pub const NEEDED: [(&str, CapabilitySet); 5] = [
    ("CAP_SYS_ADMIN", CapabilitySet::SYS_ADMIN),
    ("CAP_SYS_RESOURCE", CapabilitySet::SYS_RESOURCE),
    ("CAP_SYS_PTRACE", CapabilitySet::SYS_PTRACE),
    ("CAP_DAC_READ_SEARCH", CapabilitySet::DAC_READ_SEARCH),
    ("CAP_SYSLOG", CapabilitySet::SYSLOG),
];

/// Why privileges could not be given up.
#[derive(Debug, Error)]
#[error("{call} failed")]
pub struct PrivilegesError {
    /// The system call.
    call: &'static str,
    /// What the kernel answered.
    source: Errno,
}

/// Leaves the calling thread, and what it starts from now on, the needed capabilities of those that
/// it has.
///
/// # Errors
/// [`PrivilegesError`]; then it may have given up some.
pub fn drop_unneeded() -> Result<(), PrivilegesError> {
    set_no_new_privs(true).map_err(failed("prctl(PR_SET_NO_NEW_PRIVS)"))?;
    let held = capabilities(None).map_err(failed("capget"))?;
    let needed = NEEDED
        .iter()
        .fold(CapabilitySet::empty(), |all, (_, one)| all | *one);
    // Without this capability the kernel refuses it, and `no_new_privs` alone keeps programs from
    // getting more.
    if held.effective.contains(CapabilitySet::SETPCAP) {
        limit_programs_to(needed)?;
    }
    let kept = CapabilitySets {
        effective: held.permitted & needed,
        permitted: held.permitted & needed,
        // Nor are there any ambient ones then.
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, kept).map_err(failed("capset"))
}

/// Takes the others out of the bounding set, from which a program that root starts gets its own.
fn limit_programs_to(needed: CapabilitySet) -> Result<(), PrivilegesError> {
    let each = (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit));
    for capability in each.filter(|one| !needed.contains(*one)) {
        match capability_is_in_bounding_set(capability) {
            Ok(true) => {}
            Ok(false) => continue,
            // This kernel does not know it, nor any behind it.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(failed("prctl(PR_CAPBSET_READ)")(errno)),
        }
        remove_capability_from_bounding_set(capability)
            .map_err(failed("prctl(PR_CAPBSET_DROP)"))?;
    }
    Ok(())
}

fn failed(call: &'static str) -> impl Fn(Errno) -> PrivilegesError {
    move |source| PrivilegesError { call, source }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::thread::no_new_privs;

    use super::*;

    fn needed() -> CapabilitySet {
        let sets = NEEDED.iter().map(|(_, one)| one.bits());
        CapabilitySet::from_bits_retain(sets.sum())
    }

    /// On a thread of its own: the other tests go on with what they have.
    fn in_a_thread(test: fn()) {
        thread::spawn(test).join().expect("the test in the thread");
    }

    #[test]
    fn what_is_not_needed_is_gone_for_the_thread_and_its_programs() {
        in_a_thread(|| {
            let before = capabilities(None).expect("capget");
            drop_unneeded().expect("given up");
            let after = capabilities(None).expect("capget");
            assert_eq!(after.permitted, before.permitted & needed());
            assert_eq!(after.effective, after.permitted);
            assert!(after.inheritable.is_empty());
            assert!(no_new_privs().expect("prctl"));
            let cut = before.effective.contains(CapabilitySet::SETPCAP);
            let left = capability_is_in_bounding_set(CapabilitySet::SYS_MODULE);
            assert!(!cut || left == Ok(false));
        });
    }

    #[test]
    fn the_threads_that_it_starts_have_no_more() {
        in_a_thread(|| {
            drop_unneeded().expect("given up");
            in_a_thread(|| {
                let held = capabilities(None).expect("capget").permitted;
                assert!(needed().contains(held), "{held:?}");
                assert!(no_new_privs().expect("prctl"));
            });
        });
    }

    #[test]
    fn a_thread_without_any_capability_is_left_without_any() {
        in_a_thread(|| {
            let none = CapabilitySets {
                effective: CapabilitySet::empty(),
                permitted: CapabilitySet::empty(),
                inheritable: CapabilitySet::empty(),
            };
            set_capabilities(None, none).expect("fewer is always allowed");
            drop_unneeded().expect("nothing to give up");
            assert_eq!(capabilities(None).expect("capget"), none);
        });
    }

    #[test]
    fn giving_up_twice_is_the_same_as_once() {
        in_a_thread(|| {
            drop_unneeded().expect("given up");
            let once = capabilities(None).expect("capget");
            drop_unneeded().expect("given up again");
            assert_eq!(capabilities(None).expect("capget"), once);
        });
    }
}
