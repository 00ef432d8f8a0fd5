//! What the program may do once it runs.

use std::collections::BTreeMap;
use std::fs;
use std::thread;

use nvmeof_csi::csi::proto::NodeGetInfoRequest;
use nvmeof_csi::csi::proto::node_client::NodeClient;
use nvmeof_csi::host::privileges::NEEDED;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
    set_capabilities,
};

use crate::plugin::channel;
use crate::program::{Program, csi_socket, machine};

/// The capability sets of every thread of a process, and `NoNewPrivs`, as /proc/PID/task/*/status
/// names them.
fn privileges(process: u32) -> Vec<BTreeMap<String, u64>> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let of_thread = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).expect("it lives");
        let fields = status.lines().filter_map(|line| line.split_once(":\t"));
        let of_privileges =
            fields.filter(|(name, _)| name.starts_with("Cap") || *name == "NoNewPrivs");
        let parsed = of_privileges.map(|(name, value)| {
            let value = u64::from_str_radix(value, 16).expect("a number");
            (name.to_owned(), value)
        });
        parsed.collect()
    };
    tasks
        .map(|task| of_thread(task.expect("an entry")))
        .collect()
}

fn needed() -> u64 {
    NEEDED.iter().map(|(_, one)| one.bits()).sum()
}

#[test]
fn every_thread_has_the_needed_capabilities_and_no_other() {
    let machine = machine();
    let before = capabilities(None).expect("capget");
    let program = Program::start(&machine, "-v");
    let threads = privileges(program.id());
    assert!(threads.len() > 2, "the threads that may block are there");
    for thread in threads {
        assert_eq!(thread["CapEff"], before.permitted.bits() & needed());
        assert_eq!(thread["CapPrm"], thread["CapEff"]);
        assert_eq!((thread["CapInh"], thread["CapAmb"]), (0, 0));
        assert_eq!(thread["NoNewPrivs"], 1);
        if before.effective.contains(CapabilitySet::SETPCAP) {
            assert_eq!(thread["CapBnd"] & !needed(), 0, "{thread:x?}");
        }
    }
}

#[tokio::test]
async fn a_program_without_any_capability_serves_all_the_same() {
    let machine = machine();
    let (program, machine) = thread::spawn(move || {
        give_up_all();
        (Program::start(&machine, "-v"), machine)
    })
    .join()
    .expect("it starts");
    for thread in privileges(program.id()) {
        assert_eq!((thread["CapPrm"], thread["CapEff"]), (0, 0));
    }
    let mut node = NodeClient::new(channel(&csi_socket(&machine)).await);
    node.node_get_info(NodeGetInfoRequest {})
        .await
        .expect("info");
}

/// Leaves the calling thread, and what it starts, nothing.
fn give_up_all() {
    for bit in 0..u64::BITS {
        // What cannot be taken away, a kernel or a test without privileges has not got.
        let _unknown =
            remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit));
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none).expect("fewer is always allowed");
}
