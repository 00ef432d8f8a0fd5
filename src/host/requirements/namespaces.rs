//! Whether a program in a container shares the host's network and the host's processes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Check, Status};

/// How the kernel names the first namespace of processes (`PROC_PID_INIT_INO`, 0xEFFFFFFC, in
/// include/linux/proc_ns.h).
const FIRST_PROCESSES: &str = "pid:[4026531836]";

/// Whether connections are opened in the network namespace of the host.
///
/// The kernel opens the first connection in the namespace of whoever writes the option string, and
/// reconnects from the host's.
pub(super) fn check_network(root: &Path) -> Check {
    const NAME: &str = "network namespace";
    match (read(root, "self/ns/net"), read(root, "1/ns/net")) {
        (Ok(own), Ok(init)) if own == init => Check::ok(NAME, "the same as that of process 1"),
        (Ok(own), Ok(init)) => Check::bad(
            NAME,
            Status::Fail,
            format!(
                "{} here, {} in process 1: the kernel connects from \
                 here first and reconnects from the host",
                own.display(),
                init.display()
            ),
            "run in the host's network namespace (hostNetwork: true for a pod)",
        ),
        (Err(error), _) | (_, Err(error)) => Check::bad(
            NAME,
            Status::Unknown,
            format!("cannot be compared with that of process 1: {error}"),
            "run as root with the host's /proc (hostPID: true for a pod)",
        ),
    }
}

/// Whether the processes of the whole host are to be seen: their mounts show who uses a volume.
///
/// A host may itself be a container (kind), so another namespace than the first is bad only where
/// this program is process 1 of it, as the program of a container is without hostPID.
pub(super) fn check_processes(root: &Path) -> Check {
    const NAME: &str = "process namespace";
    let own = read(root, "self").map(|own| own == Path::new("1"));
    match (read(root, "self/ns/pid"), own) {
        (Ok(namespace), _) if namespace == Path::new(FIRST_PROCESSES) => {
            Check::ok(NAME, "the host's")
        }
        (Ok(namespace), Ok(true)) => Check::bad(
            NAME,
            Status::Fail,
            format!(
                "{}: this program is process 1 of its own, so who uses a volume cannot be seen",
                namespace.display()
            ),
            "run in the host's process namespace (hostPID: true for a pod)",
        ),
        (Ok(_), Ok(false)) => Check::ok(NAME, "shared with other programs"),
        (Err(error), _) | (_, Err(error)) => Check::bad(
            NAME,
            Status::Unknown,
            format!("cannot be read: {error}"),
            "run with /proc mounted",
        ),
    }
}

fn read(root: &Path, below_proc: &str) -> io::Result<PathBuf> {
    fs::read_link(root.join("proc").join(below_proc))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A /proc in which this program is process `id`.
    fn machine(id: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("temporary directory");
        for process in [id, "1"] {
            fs::create_dir_all(root.path().join("proc").join(process).join("ns"))
                .expect("directory");
        }
        symlink(id, root.path().join("proc/self")).expect("link");
        root
    }

    fn link(root: &Path, name: &str, target: &str) {
        symlink(target, root.join("proc").join(name)).expect("link");
    }

    #[test]
    fn the_hosts_network_namespace_is_good() {
        let root = machine("7");
        link(root.path(), "7/ns/net", "net:[1]");
        link(root.path(), "1/ns/net", "net:[1]");
        assert_eq!(check_network(root.path()).status, Status::Ok);
    }

    #[test]
    fn another_network_namespace_is_a_failure_that_names_both() {
        let root = machine("7");
        link(root.path(), "7/ns/net", "net:[2]");
        link(root.path(), "1/ns/net", "net:[1]");
        let check = check_network(root.path());
        assert_eq!(check.status, Status::Fail);
        assert!(
            check.finding.contains("net:[2] here, net:[1] in process 1"),
            "{}",
            check.finding
        );
    }

    #[test]
    fn an_unreadable_namespace_is_unknown() {
        let root = machine("7");
        assert_eq!(check_network(root.path()).status, Status::Unknown);
        assert_eq!(check_processes(root.path()).status, Status::Unknown);
    }

    #[test]
    fn only_process_1_of_another_namespace_is_without_the_hosts_processes() {
        for (id, namespace, expected) in [
            ("1", FIRST_PROCESSES, Status::Ok),
            ("7", FIRST_PROCESSES, Status::Ok),
            ("1", "pid:[4026532000]", Status::Fail),
            ("7", "pid:[4026532000]", Status::Ok),
        ] {
            let root = machine(id);
            link(root.path(), &format!("{id}/ns/pid"), namespace);
            let check = check_processes(root.path());
            assert_eq!(check.status, expected, "{id} {namespace}: {check:?}");
        }
    }
}
