//! Links that fail and targets that come back.

use std::io::Read as _;

use crate::case::Case;
use crate::scene::{NQN, Scene, cli, connect, controllers, eventually, net, wait_state};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "a_link_that_was_cut_brings_the_same_device_back",
        cut_and_back,
    ),
    Case::new(
        "after_the_controller_expired_resolve_gives_the_new_device",
        renumbered,
    ),
];

const SHORT: [&str; 5] = ["--wait", "--keep-alive-tmo", "1", "--reconnect-delay", "1"];

fn resolve() -> String {
    cli(&["resolve", "--nqn", NQN])
        .expect(0)
        .out
        .trim()
        .to_owned()
}

fn cut_and_back() {
    let scene = Scene::new();
    scene.volume();
    connect(&SHORT).expect(0);
    let device = resolve();
    let controller = controllers().remove(0);
    net::set_down("v0").expect("the cable is pulled");
    wait_state(&controller, "connecting");
    net::set_up("v0").expect("the cable is back");
    wait_state(&controller, "live");
    assert_eq!(resolve(), device);
    let mut start = [0; 4096];
    std::fs::File::open(&device)
        .and_then(|mut disk| disk.read_exact(&mut start))
        .expect("the device gives a read");
}

fn renumbered() {
    let scene = Scene::new();
    let (volume, port) = scene.volume();
    connect(&[&SHORT[..], &["--ctrl-loss-tmo", "2"]].concat()).expect(0);
    let old = resolve();
    // An open descriptor keeps the old disk's name taken, as a mount does.
    let held = std::fs::File::open(&old).expect("the device opens");
    port.withdraw(&volume).expect("the target goes away");
    eventually("the controller to expire", || {
        controllers().is_empty().then_some(())
    });
    cli(&["resolve", "--nqn", NQN]).expect(3);

    scene.export(&port, &volume);
    connect(&["--wait"]).expect(0);
    let new = resolve();
    assert_ne!(
        new, old,
        "the held disk keeps its name, so the new one has another"
    );
    std::fs::File::open(&new).expect("the new device opens");
    drop(held);
    assert_eq!(resolve(), new);
}
