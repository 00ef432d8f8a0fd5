//! What the plugin may still do, and that it is enough.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use nvmeof_csi::host::privileges::NEEDED;
use tonic::Code;

use crate::case::Case;
use crate::plugin::{Plugin, Use, Volume};
use crate::scene::{HOSTNQN, Scene, cli, controllers, eventually};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "every_thread_of_the_plugin_has_the_needed_capabilities_and_no_other",
        capabilities,
    ),
    Case::new(
        "the_plugin_stays_in_memory_and_is_ended_among_the_last",
        memory,
    ),
    Case::new(
        "a_connection_is_bound_to_an_interface_without_privileges_for_it",
        interface,
    ),
    Case::new(
        "a_disk_that_another_users_program_has_open_is_not_cut_off",
        opened_by_another_user,
    ),
    Case::new(
        "kubelet_is_told_what_the_kernel_said_about_a_failed_connect",
        kernel_message,
    ),
];

/// Nobody's number.
const NOBODY: u32 = 65534;

/// A field of `/proc/…/status`.
fn field(directory: &Path, name: &str) -> String {
    let status = fs::read_to_string(directory.join("status")).expect("it runs");
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    value
        .unwrap_or_else(|| panic!("no {name}: {status}"))
        .trim()
        .to_owned()
}

fn capabilities() {
    let _scene = Scene::new();
    let plugin = Plugin::start();
    let needed: u64 = NEEDED.iter().map(|(_, one)| one.bits()).sum();
    let tasks = fs::read_dir(format!("/proc/{}/task", plugin.id())).expect("it runs");
    let tasks: Vec<_> = tasks.map(|task| task.expect("an entry").path()).collect();
    assert!(tasks.len() > 30, "the threads that may block: {tasks:?}");
    for task in tasks {
        for (set, held) in [
            ("CapInh", 0),
            ("CapPrm", needed),
            ("CapEff", needed),
            ("CapBnd", needed),
            ("CapAmb", 0),
        ] {
            assert_eq!(field(&task, set), format!("{held:016x}"), "{set}");
        }
        assert_eq!(field(&task, "NoNewPrivs"), "1");
    }
}

fn memory() {
    let _scene = Scene::new();
    let plugin = Plugin::start();
    let process = format!("/proc/{}", plugin.id());
    let process = Path::new(&process);
    assert_ne!(field(process, "VmLck"), "0 kB");
    let score = fs::read_to_string(process.join("oom_score_adj")).expect("a score");
    assert_eq!(score, "-999\n");
}

fn interface() {
    let scene = Scene::new();
    scene.volume();
    let plugin = Plugin::start();
    let mut volume = Volume::new(Use::Block);
    let interface = ("hostIface".to_owned(), "v0".to_owned());
    volume.context.extend([interface]);
    plugin.stage(&volume).expect("stage");
    plugin.unstage(&volume).expect("unstage");
}

fn opened_by_another_user() {
    let scene = Scene::new();
    scene.volume();
    let plugin = Plugin::start();
    let volume = Volume::new(Use::Block);
    plugin.stage(&volume).expect("stage");
    let nqn = &volume.context["nqn"];
    let device = cli(&["resolve", "--nqn", nqn]).expect(0).out;
    let device = File::open(device.trim()).expect("the disk opens");
    let mut program = start_as_nobody(device);
    let refused = plugin.unstage(&volume).expect_err("in use");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    let opener = program.id().to_string();
    assert!(refused.message().contains(&opener), "{refused}");
    assert_eq!(controllers().len(), 1);
    program.kill().expect("it runs");
    program.wait().expect("it ends");
    // The keeper may be at the volume, which it brings back when a call has failed.
    eventually("the volume to leave", || plugin.unstage(&volume).ok());
    assert_eq!(controllers(), Vec::<String>::new());
}

/// A plugin of another kubelet, which needs no privileges to wait for calls.
fn start_as_nobody(device: File) -> Child {
    const DIRECTORY: &str = "/tmp/nobodys";
    fs::create_dir_all(DIRECTORY).expect("a directory");
    chown(DIRECTORY, Some(NOBODY), None).expect("root gives it away");
    Command::new("/bin/nvmeof-csi")
        .args(["node", "--node-id", "node-2", "--kubelet-dir", DIRECTORY])
        .args(["--admin-address", ""])
        .uid(NOBODY)
        .stdin(device)
        .spawn()
        .expect("it starts")
}

fn kernel_message() {
    let scene = Scene::new();
    let (exported, _) = scene.volume();
    exported
        .allow_only("nqn.2026-01.org.example:somebody-else")
        .expect("a list of hosts");
    let plugin = Plugin::start();
    let volume = Volume::new(Use::Block);
    let refused = plugin.stage(&volume).expect_err("not admitted");
    for words in [HOSTNQN, "not among the allowed hosts"] {
        assert!(refused.message().contains(words), "{refused}");
    }
}
