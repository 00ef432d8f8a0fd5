//! ext4 with multi-mount protection, and what it costs.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use tonic::{Code, Status};

use crate::case::{Case, Need};
use crate::host::REPORT;
use crate::plugin::{Plugin, Use, Volume, remembered, write_and_read};
use crate::remains::assert_nothing_remains;
use crate::scene::{NQN, OTHER_UUID, Scene, UUID, add_namespace, subsystem, target};

pub(super) const CASES: &[Case] = &[Case::new(
    "a_protected_ext4_is_mounted_once_and_again_after_a_crash",
    once,
)
.needs(Need::Faults)];

/// By this the same bytes are another disk, as they are to another machine.
const OTHER_NQN: &str = "nqn.2026-01.org.example:volume-2";
const CRASHED_UUID: &str = "33333333-3333-4333-8333-333333333333";

fn protected(id: &str, nqn: &str, uuid: &str) -> Volume {
    let mut volume = Volume::of(id, Use::Filesystem("ext4"), nqn, uuid);
    let key = "multiMountProtection".to_owned();
    volume.context.insert(key, "true".to_owned());
    volume
}

fn stage(plugin: &Plugin, volume: &Volume, what: &str) -> Result<(), Status> {
    let began = Instant::now();
    let staged = plugin.stage(volume);
    let took = began.elapsed().as_secs_f64();
    let outcome = if staged.is_ok() { "staged" } else { "refused" };
    eprintln!("{REPORT}{what}: {outcome} after {took:.1} s");
    staged
}

fn once() {
    let scene = Scene::new();
    let (first_subsystem, _port) = scene.volume();
    let image = PathBuf::from(format!("/tmp/{UUID}.img"));
    let second_subsystem = subsystem(OTHER_NQN, &[]);
    let added = second_subsystem.add_namespace(1, &image, OTHER_UUID);
    added.expect("the same file twice");
    scene.listen(2, target(0), 4421, &[&second_subsystem]);
    let plugin = Plugin::start();
    let first = protected("first", NQN, UUID);
    let mut second = protected("second", OTHER_NQN, OTHER_UUID);
    let address = format!("{}:4421", target(0));
    second.context.insert("addresses".to_owned(), address);

    stage(&plugin, &first, "a blank disk").expect("formatted and mounted");
    plugin.publish(&first).expect("publish");
    write_and_read(&first.target());
    let refused = stage(&plugin, &second, "while it is mounted").expect_err("it is mounted");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    let words = "multi-mount protection, by another machine (EBUSY)";
    assert!(refused.message().contains(words), "{refused}");
    assert_eq!(remembered(), ["first"]);
    write_and_read(&first.target());
    // What a machine leaves on the target that loses its power in this moment.
    let crashed = PathBuf::from(format!("/tmp/{CRASHED_UUID}.img"));
    fs::copy(&image, &crashed).expect("a copy");
    plugin.unpublish(&first).expect("unpublish");
    plugin.unstage(&first).expect("unstage");

    stage(&plugin, &second, "after an unmount").expect("nobody has it mounted");
    plugin.publish(&second).expect("publish");
    let kept = fs::read(second.target().join("file"));
    assert_eq!(kept.expect("a read"), b"kept");
    plugin.unpublish(&second).expect("unpublish");
    plugin.unstage(&second).expect("unstage");

    add_namespace(&first_subsystem, 2, CRASHED_UUID);
    let third = protected("third", NQN, CRASHED_UUID);
    stage(&plugin, &third, "after a crash").expect("nobody has it mounted");
    plugin.publish(&third).expect("publish");
    let kept = fs::read(third.target().join("file"));
    assert_eq!(kept.expect("a read"), b"kept");
    write_and_read(&third.target());
    plugin.unpublish(&third).expect("unpublish");
    plugin.unstage(&third).expect("unstage");
    assert_nothing_remains();
}
