//! `disconnect`: what it refuses, and that it touches nothing before it has decided.
//!
//! A tree in a directory never loses a controller, so a disconnect that is not refused ends with
//! the time-out.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::common::{Run, captured, read, run, write};

const NQN: &str = "nqn.2026-01.org.example:volume-1";

fn delete_controller(root: &Path, controller: &str) -> String {
    read(
        root,
        &format!("sys/class/nvme/{controller}/delete_controller"),
    )
}

/// A process that sees the head of the captured trees, 259:1, mounted.
fn mount(root: &Path) {
    write(root, "proc/77/comm", "postgres\n");
    write(
        root,
        "proc/77/mountinfo",
        "9 1 259:1 / /var/lib/my\\040data rw - ext4 /dev/nvme0n1 rw\n",
    );
}

fn disconnect(root: &Path, more: &[&str]) -> Run {
    let mut arguments = vec!["disconnect", "--timeout", "1"];
    arguments.extend(more);
    run(root, &arguments)
}

#[test]
fn nothing_to_disconnect_is_a_success_that_says_so() {
    let root = captured("trixie-one-path");
    for target in [
        ["--nqn", "nqn.2026-01.org.example:other"],
        ["--controller", "nvme9"],
    ] {
        let run = disconnect(root.path(), &target).expect(0);
        assert_eq!(run.out, "nothing was disconnected\n");
    }
    let json = disconnect(root.path(), &["--controller", "nvme9", "-o", "json"]).expect(0);
    assert_eq!(
        json.out,
        "{\n  \"disconnected\":[],\n  \"unchecked\":[]\n}\n"
    );
}

#[test]
fn a_mounted_device_keeps_its_last_path() {
    for kernel in ["bookworm", "trixie", "sid"] {
        let root = captured(&format!("{kernel}-one-path"));
        mount(root.path());
        disconnect(root.path(), &["--nqn", NQN]).expect(5).says(&[
            "nvme0n1 is mounted at /var/lib/my data, seen by postgres (pid 77)",
            "--force",
        ]);
        assert_eq!(delete_controller(root.path(), "nvme0"), "", "{kernel}");
    }
}

#[test]
fn an_open_device_keeps_its_last_path_and_every_process_is_named() {
    let root = captured("trixie-one-path");
    for (pid, name) in [(77, "fio"), (78, "dd")] {
        write(root.path(), &format!("proc/{pid}/comm"), name);
        fs::create_dir(root.path().join(format!("proc/{pid}/fd"))).expect("directory");
        let node = root.path().join("dev/nvme0n1");
        symlink(node, root.path().join(format!("proc/{pid}/fd/3"))).expect("link");
    }
    disconnect(root.path(), &["--controller", "nvme0"])
        .expect(5)
        .says(&["open in fio (pid 77)", "open in dd (pid 78)"]);
    assert_eq!(delete_controller(root.path(), "nvme0"), "");
}

#[test]
fn the_last_usable_path_counts_as_the_last() {
    let root = captured("trixie-two-paths-ana");
    mount(root.path());
    disconnect(root.path(), &["--controller", "nvme0"])
        .expect(5)
        .says(&["nvme0n1 is mounted"]);
    assert_eq!(delete_controller(root.path(), "nvme0"), "");
}

#[test]
fn a_path_beside_a_usable_one_may_go_although_the_device_is_mounted() {
    let root = captured("trixie-two-paths-ana");
    mount(root.path());
    disconnect(root.path(), &["--controller", "nvme1"])
        .expect(4)
        .says(&["nvme1 is still there"]);
    assert_eq!(delete_controller(root.path(), "nvme1"), "1");
    assert_eq!(delete_controller(root.path(), "nvme0"), "");
}

#[test]
fn force_goes_on_where_a_use_was_found() {
    let root = captured("trixie-one-path");
    mount(root.path());
    disconnect(root.path(), &["--nqn", NQN, "--force"])
        .expect(4)
        .says(&["nvme0 is still there"]);
    assert_eq!(delete_controller(root.path(), "nvme0"), "1");
}

#[test]
fn a_failure_says_which_controllers_are_gone_already() {
    let root = captured("trixie-two-paths-ana");
    let class = root.path().join("sys/class/nvme");
    let order = class.join("nvme0/delete_controller");
    fs::remove_file(&order).expect("a file");
    mkfifo(&order, Mode::S_IRWXU).expect("a pipe");
    let kernel = thread::spawn(move || {
        let written = fs::read_to_string(order).expect("the order");
        fs::remove_file(class.join("nvme0/state")).expect("a file");
        written
    });
    disconnect(root.path(), &["--nqn", NQN, "--force"])
        .expect(4)
        .says(&["disconnected nvme0; then:", "nvme1 is still there"]);
    assert_eq!(kernel.join().expect("no panic"), "1");
}

#[test]
fn a_failure_says_what_was_not_looked_at() {
    let root = captured("trixie-one-path");
    mount(root.path());
    disconnect(root.path(), &["--nqn", NQN])
        .expect(5)
        .says(&["is mounted", "not looked at: processes outside"]);
}

#[test]
fn a_disk_of_its_own_goes_with_its_controller() {
    let root = captured("trixie-multipath-off");
    let dev = read(root.path(), "sys/block/nvme1n1/dev");
    write(root.path(), "proc/77/comm", "postgres\n");
    let table = format!("9 1 {} / /data rw - xfs /dev/nvme1n1 rw\n", dev.trim());
    write(root.path(), "proc/77/mountinfo", table);
    disconnect(root.path(), &["--controller", "nvme1"])
        .expect(5)
        .says(&["nvme1n1 is mounted at /data"]);
}

#[test]
fn without_a_list_of_processes_the_use_is_unknown_and_the_disconnect_refused() {
    let root = captured("trixie-one-path");
    disconnect(root.path(), &["--nqn", NQN]).expect(5).says(&[
        "cannot tell whether",
        "nvme0n1",
        "--force",
    ]);
    assert_eq!(delete_controller(root.path(), "nvme0"), "");
}

/// In a container with a /proc and a /dev of its own, a mount on the host is seen by nobody but the kernel.
#[test]
fn without_the_device_node_the_kernel_cannot_be_asked_and_the_disconnect_is_refused() {
    let root = captured("trixie-one-path");
    write(root.path(), "proc/7/comm", "nvmeof-csi\n");
    let own = "1 0 0:40 / / rw - overlay overlay rw\n";
    write(root.path(), "proc/7/mountinfo", own);
    disconnect(root.path(), &["--nqn", NQN]).expect(5).says(&[
        "nvme0n1, which would lose its last path",
        "the device node",
        "processes outside this PID namespace",
        "--force",
    ]);
    assert_eq!(delete_controller(root.path(), "nvme0"), "");
}

#[test]
fn pcie_is_refused_even_by_force() {
    for kernel in ["bookworm", "trixie", "sid"] {
        let root = captured(&format!("{kernel}-pcie"));
        disconnect(root.path(), &["--controller", "nvme0", "--force"])
            .expect(5)
            .says(&["nvme0 is a PCIe controller"]);
    }
}

#[test]
fn an_exclusion_says_nothing_about_what_leaves() {
    let root = captured("trixie-one-path");
    write(
        root.path(),
        "etc/nvme/exclusions.conf",
        format!("[exclusions]\nexclusion = nqn={NQN}\n"),
    );
    disconnect(root.path(), &["--nqn", NQN, "--force"]).expect(4);
    assert_eq!(delete_controller(root.path(), "nvme0"), "1");
}

#[test]
fn a_name_in_use_that_keeps_to_no_form_is_listed_and_disconnected() {
    for name in [
        "nqn.2137.csi.tns:pvc-1",
        "nqn.test-io",
        "nqn.2014-08.org.nvmexpress:uuid:host-1",
    ] {
        let root = captured("trixie-one-path");
        for path in [
            "sys/class/nvme/nvme0/subsysnqn",
            "sys/class/nvme-subsystem/nvme-subsys0/subsysnqn",
        ] {
            write(root.path(), path, format!("{name}\n"));
        }
        let listed = run(root.path(), &["list-subsys"]).expect(0);
        assert!(listed.out.contains(name), "{}", listed.out);
        run(root.path(), &["resolve", "--nqn", name]).expect(0);
        disconnect(root.path(), &["--nqn", name, "--force"]).expect(4);
        assert_eq!(delete_controller(root.path(), "nvme0"), "1", "{name}");
    }
}

#[test]
fn a_controller_whose_subsystem_cannot_be_told_is_not_touched() {
    let root = captured("trixie-one-path");
    for (name, words) in [
        ("(efault)\n", &["nvme0", "has never been connected"][..]),
        (
            "nqn.odd/name\n",
            &["nvme0", "\"nqn.odd/name\"", "no valid NQN"],
        ),
    ] {
        write(root.path(), "sys/class/nvme/nvme0/subsysnqn", name);
        disconnect(root.path(), &["--controller", "nvme0", "--force"])
            .expect(1)
            .says(words);
        assert_eq!(delete_controller(root.path(), "nvme0"), "");
    }
}
