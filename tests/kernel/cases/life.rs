//! A connection's ordinary life.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::case::{Case, Need};
use crate::scene::{
    HOSTID, NQN, Scene, cli, connect, connect_to, controllers, eventually, net, subsystem, target,
    target_v6, wait_state,
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "a_connected_device_is_usable_and_disconnect_removes_it",
        usable_then_gone,
    ),
    Case::new(
        "connecting_twice_makes_one_controller_and_succeeds_twice",
        twice,
    ),
    Case::new(
        "connect_adopts_a_controller_that_is_still_connecting",
        adopts_connecting,
    ),
    Case::new(
        "every_spelling_of_an_ipv6_address_is_one_controller",
        ipv6_spellings,
    ),
    Case::new(
        "a_host_without_identity_gets_one_and_keeps_it",
        identity_is_kept,
    ),
    Case::new("a_link_local_address_connects_through_its_link", link_local),
    Case::new("disconnecting_nothing_succeeds", disconnect_nothing),
    Case::new("list_subsys_prints_what_nvme_cli_prints", same_as_nvme_cli).needs(Need::NvmeCli),
    Case::new("discover_follows_referrals_and_connects_all", discover_all),
    Case::new(
        "the_program_runs_in_a_root_that_holds_nothing_else",
        empty_root,
    ),
];

fn usable_then_gone() {
    let scene = Scene::new();
    scene.volume();
    let run = connect(&["--wait", "-o", "json"]).expect(0);
    let device = run.json()["device"].as_str().expect("a device").to_owned();
    let owner = format!("/run/nvme/registry/{}/owner", controllers()[0]);
    assert_eq!(
        fs::read_to_string(&owner).expect("an owner").trim(),
        "nvmeof-csi-cli"
    );

    let mut disk = File::options()
        .read(true)
        .write(true)
        .open(&device)
        .expect("the device opens");
    let written = [0xa5; 8192];
    disk.write_all(&written)
        .and_then(|()| disk.sync_all())
        .expect("the device takes a write");
    let mut read = [0; 8192];
    disk.rewind()
        .and_then(|()| disk.read_exact(&mut read))
        .expect("the device gives a read");
    assert_eq!(read, written);
    drop(disk);

    cli(&["disconnect", "--nqn", NQN]).expect(0);
    assert_eq!(controllers(), Vec::<String>::new());
    assert!(
        !Path::new("/sys/block")
            .join(device.trim_start_matches("/dev/"))
            .exists()
    );
    cli(&["resolve", "--nqn", NQN]).expect(3);
}

fn twice() {
    let scene = Scene::new();
    scene.volume();
    let first = connect(&["--wait", "-o", "json"]).expect(0).json();
    let second = connect(&["--wait", "-o", "json"]).expect(0).json();
    assert_eq!(first["controller"], second["controller"]);
    assert_eq!(first["device"], second["device"]);
    assert_eq!(controllers().len(), 1);
}

fn adopts_connecting() {
    let scene = Scene::new();
    scene.volume();
    connect(&[
        "--keep-alive-tmo",
        "1",
        "--reconnect-delay",
        "1",
        "--ctrl-loss-tmo",
        "-1",
    ])
    .expect(0);
    let controller = controllers().remove(0);
    net::set_down("v0").expect("the cable is pulled");
    wait_state(&controller, "connecting");
    let run = connect(&["-o", "json"]).expect(0).json();
    assert_eq!(run["controller"], controller.as_str());
    assert_eq!(run["state"], "connecting");
    net::set_up("v0").expect("the cable is back");
    wait_state(&controller, "live");
    assert_eq!(controllers(), [controller]);
}

fn ipv6_spellings() {
    let scene = Scene::new();
    let volume = subsystem(NQN, &[(1, crate::scene::UUID)]);
    scene.listen(1, target_v6(0), 4420, &[&volume]);
    for spelling in ["fd00::2", "fd00:0:0:0:0:0:0:2", "FD00::0002"] {
        cli(&[
            "connect",
            "--transport",
            "tcp",
            "--traddr",
            spelling,
            "--nqn",
            NQN,
            "--wait",
        ])
        .expect(0);
        assert_eq!(controllers().len(), 1, "after {spelling}");
    }
}

fn link_local() {
    let scene = Scene::new();
    let far = "fe80::2".parse().expect("an address");
    scene
        .far
        .run(|| net::add_address("t0", far, 64))
        .expect("an address");
    let volume = subsystem(NQN, &[(1, crate::scene::UUID)]);
    scene.listen(1, "::".parse().expect("an address"), 4420, &[&volume]);
    cli(&[
        "connect",
        "--transport",
        "tcp",
        "--traddr",
        "fe80::2%v0",
        "--nqn",
        NQN,
        "--wait",
    ])
    .expect(0);
    cli(&[
        "connect",
        "--transport",
        "tcp",
        "--traddr",
        "fe80:0::2%v0",
        "--nqn",
        NQN,
        "--wait",
    ])
    .expect(0);
    assert_eq!(controllers().len(), 1);
}

fn identity_is_kept() {
    let scene = Scene::new();
    scene.volume();
    fs::remove_file("/etc/nvme/hostnqn").expect("it was there");
    fs::remove_file("/etc/nvme/hostid").expect("it was there");
    connect(&[]).expect(0);
    let made = fs::read_to_string("/etc/nvme/hostnqn").expect("an identity was stored");
    let id = fs::read_to_string("/etc/nvme/hostid").expect("an identity was stored");
    assert!(made.trim().ends_with(id.trim()), "{made} holds {id}");
    assert_ne!(id.trim(), HOSTID);
    cli(&["disconnect", "--nqn", NQN]).expect(0);
    connect(&[]).expect(0);
    assert_eq!(
        fs::read_to_string("/etc/nvme/hostnqn").expect("it stays"),
        made
    );
}

fn disconnect_nothing() {
    cli(&["disconnect", "--nqn", NQN]).expect(0);
}

fn same_as_nvme_cli() {
    let scene = Scene::new();
    let volume = subsystem(NQN, &[(1, crate::scene::UUID)]);
    scene.listen(1, target(0), 4420, &[&volume]);
    scene.listen(2, target(0), 4421, &[&volume]);
    connect(&["--wait"]).expect(0);
    connect_to(target(0), 4421, &["--wait"]).expect(0);
    let theirs = crate::scene::nvme_cli(&["list-subsys", "-o", "json"]);
    let ours = cli(&["list-subsys", "-o", "json"]).expect(0);
    assert_eq!(ours.out, theirs);
}

fn discover_all() {
    let scene = Scene::new();
    let (volume, port) = scene.volume();
    let other = subsystem(
        "nqn.2026-01.org.example:volume-2",
        &[(1, crate::scene::OTHER_UUID)],
    );
    scene.listen(2, target(0), 4421, &[&other]);
    port.refer("second", target(0), 4421).expect("a referral");
    let address = target(0).to_string();
    let found = cli(&[
        "discover",
        "--transport",
        "tcp",
        "--traddr",
        &address,
        "--trsvcid",
        "4420",
        "-o",
        "json",
    ])
    .expect(0);
    assert!(found.out.contains(&volume.nqn), "{}", found.out);
    assert!(
        found.out.contains(&other.nqn),
        "behind the referral: {}",
        found.out
    );
    assert_eq!(
        controllers(),
        Vec::<String>::new(),
        "the discovery controllers are gone again"
    );
    cli(&[
        "discover",
        "--transport",
        "tcp",
        "--traddr",
        &address,
        "--trsvcid",
        "4420",
        "--connect",
    ])
    .expect(0);
    for nqn in [&volume.nqn, &other.nqn] {
        eventually("the device", || {
            (cli(&["resolve", "--nqn", nqn]).code == Some(0)).then_some(())
        });
    }
    assert_eq!(controllers().len(), 2);
}

fn empty_root() {
    fs::create_dir_all("/tmp/empty").expect("a directory");
    fs::copy("/bin/nvmeof-csi", "/tmp/empty/nvmeof-csi").expect("a copy");
    let status = crate::scene::in_root("/tmp/empty", "/nvmeof-csi", &["--version"]);
    fs::remove_file("/tmp/empty/nvmeof-csi")
        .and_then(|()| fs::remove_dir("/tmp/empty"))
        .expect("nothing else is in it");
    assert!(status.success(), "{status}");
}
