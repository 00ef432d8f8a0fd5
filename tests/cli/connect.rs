//! `connect` where a captured tree has the answer: controllers that are there are adopted, without
//! a word to the device.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;

use crate::common::{Run, captured, read, run, write};

const NQN: &str = "nqn.2026-01.org.example:volume-1";
const HOSTNQN: &str = "nqn.2014-08.org.nvmexpress:uuid:aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const HOSTID: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";

/// What the lab connected as.
fn identity(root: &Path) {
    write(root, "etc/nvme/hostnqn", format!("{HOSTNQN}\n"));
    write(root, "etc/nvme/hostid", format!("{HOSTID}\n"));
}

fn connect(root: &Path, more: &[&str]) -> Run {
    let mut arguments = vec![
        "connect",
        "--transport",
        "tcp",
        "--traddr",
        "10.0.0.2",
        "--nqn",
        NQN,
    ];
    arguments.extend(more);
    run(root, &arguments)
}

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.out).expect("JSON")
}

#[test]
fn a_controller_that_is_there_is_adopted() {
    for kernel in ["bookworm", "trixie", "sid"] {
        let root = captured(&format!("{kernel}-one-path"));
        identity(root.path());
        let connection = json(&connect(root.path(), &["-o", "json"]).expect(0));
        assert_eq!(connection["controller"], "nvme0", "{kernel}");
        assert_eq!(connection["result"], "adopted");
        assert_eq!(connection["state"], "live");
        assert_eq!(connection["nqn"], NQN);
        let device = root.path().join("dev/nvme0n1");
        assert_eq!(connection["device"], device.to_str().expect("UTF-8"));
        assert_eq!(connection["devices"][0]["nsid"], 1);
    }
}

#[test]
fn a_connect_that_fails_makes_no_identity_for_the_host() {
    let root = captured("trixie-one-path");
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port().to_string();
    drop(free);
    let portal = [
        "--transport",
        "tcp",
        "--traddr",
        "127.0.0.1",
        "--trsvcid",
        &port,
    ];
    let connect = [&["connect", "--nqn", NQN][..], &portal].concat();
    let discover = [&["discover", "--connect"][..], &portal].concat();
    for arguments in [connect, discover] {
        let failed = run(root.path(), &arguments);
        assert!(matches!(failed.code, Some(1 | 4)), "{failed:#?}");
        assert!(!root.path().join("etc").exists(), "{arguments:?}");
    }
}

#[test]
fn people_see_the_controller_and_its_devices() {
    let root = captured("trixie-two-namespaces");
    identity(root.path());
    let run = connect(root.path(), &[]).expect(0);
    let lines: Vec<_> = run.out.lines().collect();
    assert!(
        lines[0].starts_with(&format!("nvme0 live adopted {NQN} traddr=10.0.0.2")),
        "{}",
        run.out
    );
    // This kernel numbered the disks in the other order than the namespaces.
    assert!(
        lines[1].contains("/dev/nvme0n1 64 MiB nsid 7 uuid 22222222-"),
        "{}",
        run.out
    );
    assert!(
        lines[2].contains("/dev/nvme0n2 64 MiB nsid 1 uuid 11111111-"),
        "{}",
        run.out
    );
}

#[test]
fn waiting_for_a_namespace_that_is_usable_ends_at_once() {
    let root = captured("trixie-two-namespaces");
    identity(root.path());
    connect(root.path(), &["--wait"]).expect(0);
    connect(root.path(), &["--wait", "--nsid", "7"]).expect(0);
}

#[test]
fn waiting_in_vain_says_what_there_is_instead() {
    let root = captured("trixie-two-namespaces");
    identity(root.path());
    connect(root.path(), &["--wait", "--nsid", "9", "--timeout", "1"])
        .expect(4)
        .says(&[
            NQN,
            "namespace number 9",
            "nvme0 is live",
            "nvme0n1, nvme0n2",
        ]);
}

#[test]
fn a_controller_that_is_connecting_is_a_success_with_its_state() {
    let root = captured("trixie-connecting");
    identity(root.path());
    let run = connect(root.path(), &[]).expect(0);
    assert!(
        run.out.starts_with("nvme0 connecting adopted "),
        "{}",
        run.out
    );
    assert_eq!(
        run.out.lines().count(),
        1,
        "no device is usable: {}",
        run.out
    );
    connect(root.path(), &["--wait", "--timeout", "1"])
        .expect(4)
        .says(&["nvme0 is connecting"]);
}

#[test]
fn half_of_another_identity_is_refused_with_both_pairs() {
    let root = captured("trixie-one-path");
    identity(root.path());
    let other = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";
    connect(root.path(), &["--hostnqn", HOSTNQN, "--hostid", other])
        .expect(1)
        .says(&[HOSTNQN, HOSTID, other, "nvme0"]);
}

#[test]
fn an_excluded_subsystem_is_refused() {
    let root = captured("trixie-one-path");
    identity(root.path());
    write(
        root.path(),
        "etc/nvme/exclusions.conf",
        format!("[exclusions]\nexclusion = nqn={NQN}\n"),
    );
    connect(root.path(), &[])
        .expect(5)
        .says(&["excluded", "exclusions.conf"]);
}

#[test]
fn a_refused_portal_is_named_and_the_kernel_not_asked() {
    let root = captured("trixie-one-path");
    write(root.path(), "dev/nvme-fabrics", "");
    // Bound and not listening: nobody else can get the port.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let port = port.expect("a free port").port().to_string();
    let arguments = [
        "connect",
        "--transport",
        "tcp",
        "--traddr",
        "127.0.0.1",
        "--trsvcid",
        &port,
    ];
    let mut arguments = arguments.to_vec();
    arguments.extend(["--nqn", "nqn.2026-01.org.example:other"]);
    run(root.path(), &arguments).expect(1).says(&[
        &format!("127.0.0.1:{port} refused"),
        "the kernel was not asked",
    ]);
    assert_eq!(crate::common::read(root.path(), "dev/nvme-fabrics"), "");
}

#[test]
fn without_the_kernels_module_the_line_to_add_is_said() {
    let root = captured("trixie-one-path");
    identity(root.path());
    let arguments = [
        "connect",
        "--transport",
        "loop",
        "--nqn",
        "nqn.2026-01.org.example:other",
    ];
    run(root.path(), &arguments).expect(1).says(&[
        "dev/nvme-fabrics does not exist",
        "modprobe nvme-fabrics",
        "/etc/modules-load.d/nvmeof-csi.conf",
    ]);
}

#[test]
fn json_logs_are_json_also_for_the_error() {
    let root = captured("trixie-one-path");
    identity(root.path());
    let arguments = [
        "--log-format",
        "json",
        "-v",
        "connect",
        "--transport",
        "loop",
        "--nqn",
        "nqn.2026-01.org.example:other",
    ];
    let run = run(root.path(), &arguments).expect(1);
    let lines: Vec<Value> = run
        .err
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let last = lines.last().expect("a line");
    assert_eq!(last["level"], "ERROR");
    assert!(
        last["fields"]["error"]
            .as_str()
            .is_some_and(|text| text.contains("does not exist")),
        "{last}"
    );
}

#[test]
fn a_live_controller_without_a_namespace_is_asked_to_look_again() {
    let asked = |tree: &str| {
        let root = captured(tree);
        identity(root.path());
        connect(root.path(), &["--wait", "--timeout", "1"]).expect(4);
        read(root.path(), "sys/class/nvme/nvme0/rescan_controller")
    };
    assert_eq!(asked("trixie-orphan"), "1");
    assert_eq!(asked("trixie-connecting"), "");
}

#[test]
fn a_connect_from_a_network_of_its_own_is_warned_of() {
    let root = captured("trixie-one-path");
    identity(root.path());
    for (process, network) in [("self", "net:[2]"), ("1", "net:[1]")] {
        let namespaces = root.path().join("proc").join(process).join("ns");
        fs::create_dir_all(&namespaces).expect("a directory");
        symlink(network, namespaces.join("net")).expect("a link");
    }
    connect(root.path(), &[]).expect(0).says(&[
        "WARN",
        "net:[2] here, net:[1] in process 1",
        "hostNetwork",
    ]);
}
