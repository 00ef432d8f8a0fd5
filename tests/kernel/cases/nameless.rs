//! Namespaces without any identifier: after a loss nothing could tell them from another, so their I/O is not held.

use std::fs;

use tonic::Code;

use crate::case::Case;
use crate::plugin::{Plugin, Use, Volume, said, write_and_read};
use crate::scene::{NQN, Scene, UUID, attribute, controllers, subsystem, target};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "a_namespace_without_ids_is_staged_without_a_hold_and_that_is_told",
        without_a_hold,
    ),
    Case::new(
        "a_namespace_without_ids_never_loosens_the_hold_of_a_sibling",
        beside_a_held_one,
    ),
];

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

fn volume(hold: &str) -> Volume {
    let mut volume = Volume::new(Use::Filesystem("ext4"));
    volume.context.remove("namespaceUUID");
    let hold = ("pathLossHold".to_owned(), hold.to_owned());
    volume.context.extend([hold]);
    volume
}

/// Whether a map is there.
fn has_map() -> bool {
    let mut disks = fs::read_dir("/sys/block").expect("the disks");
    disks.any(|disk| disk.expect("an entry").path().join("dm").exists())
}

fn without_a_hold() {
    let scene = Scene::new();
    let nameless = subsystem(NQN, &[(1, NOBODY)]);
    let _port = scene.listen(1, target(0), 4420, &[&nameless]);
    let plugin = Plugin::start_logged();

    let refused = plugin.stage(&volume("dm")).expect_err("no map is safe");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert_eq!(controllers(), Vec::<String>::new());

    let volume = volume("auto");
    plugin.stage(&volume).expect("stage");
    plugin.publish(&volume).expect("publish");
    assert!(!has_map());
    let said = said();
    assert!(said.contains("reason=NotHeld"), "{said}");
    write_and_read(&volume.target());
    plugin.unpublish(&volume).expect("unpublish");
    plugin.unstage(&volume).expect("unstage");
    assert_eq!(controllers(), Vec::<String>::new());
}

fn beside_a_held_one() {
    let scene = Scene::new();
    let both = subsystem(NQN, &[(1, UUID), (2, NOBODY)]);
    let _port = scene.listen(1, target(0), 4420, &[&both]);
    let plugin = Plugin::start();
    let held = Volume::new(Use::Filesystem("ext4"));
    plugin.stage(&held).expect("stage");
    let connected = controllers();
    let mut nameless = volume("auto");
    nameless.id = "volume-2".to_owned();
    let nsid = ("nsid".to_owned(), "2".to_owned());
    nameless.context.extend([nsid]);
    let refused = plugin
        .stage(&nameless)
        .expect_err("it cannot be held as its sibling is");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert_eq!(controllers(), connected);
    for controller in &connected {
        let loss = attribute(controller, "ctrl_loss_tmo");
        assert_eq!(loss.as_deref(), Some("0"), "{controller}");
    }
    plugin.unstage(&held).expect("unstage");
    assert_eq!(controllers(), Vec::<String>::new());
}
