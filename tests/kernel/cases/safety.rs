//! What must be refused.

use std::fs::{self, File};

use kernel_lab::guest::program as program_of_the_lab;
use nix::mount::{MsFlags, mount, umount};

use crate::case::Case;
use crate::scene::{
    NQN, Scene, UUID, attribute, cli, connect, connect_to, controllers, program, subsystem, target,
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "the_last_path_of_a_mounted_device_is_not_disconnected",
        mounted,
    ),
    Case::new(
        "the_last_path_of_an_open_device_is_not_disconnected",
        opened,
    ),
    Case::new("a_spare_path_of_a_mounted_device_may_go", spare_path),
    Case::new("a_pcie_controller_is_never_disconnected", pcie),
    Case::new(
        "a_controller_that_is_excluded_later_is_disconnected_and_not_connected_again",
        excluded,
    ),
];

/// Connects the volume, makes a filesystem on it and mounts it at `/mnt`.
fn mounted_volume() -> Scene {
    let scene = Scene::new();
    let volume = subsystem(NQN, &[(1, UUID)]);
    scene.listen(1, target(0), 4420, &[&volume]);
    scene.listen(2, target(0), 4421, &[&volume]);
    connect(&["--wait"]).expect(0);
    let device = cli(&["resolve", "--nqn", NQN])
        .expect(0)
        .out
        .trim()
        .to_owned();
    let made = program_of_the_lab("mke2fs")
        .args(["-q", "-t", "ext4", &device])
        .status()
        .expect("mke2fs runs");
    assert!(made.success(), "{made}");
    fs::create_dir_all("/mnt").expect("a mount point");
    mount(
        Some(device.as_str()),
        "/mnt",
        Some("ext4"),
        MsFlags::empty(),
        None::<&str>,
    )
    .expect("a mount");
    scene
}

fn mounted() {
    let _scene = mounted_volume();
    let before = controllers();
    cli(&["disconnect", "--nqn", NQN]).expect(5).says(&["/mnt"]);
    cli(&["disconnect", "--controller", &before[0]])
        .expect(5)
        .says(&["/mnt"]);
    assert_eq!(controllers(), before);
    fs::write("/mnt/still-there", "yes").expect("the volume works");
    umount("/mnt").expect("an unmount");
    cli(&["disconnect", "--nqn", NQN]).expect(0);
    assert_eq!(controllers(), Vec::<String>::new());
}

fn opened() {
    let scene = Scene::new();
    scene.volume();
    connect(&["--wait"]).expect(0);
    let device = cli(&["resolve", "--nqn", NQN])
        .expect(0)
        .out
        .trim()
        .to_owned();
    let held = File::open(&device).expect("the device opens");
    cli(&["disconnect", "--nqn", NQN])
        .expect(5)
        .says(&[&std::process::id().to_string()]);
    cli(&["disconnect", "--nqn", NQN, "--force"]).expect(0);
    drop(held);
    assert_eq!(controllers(), Vec::<String>::new());
}

fn spare_path() {
    let _scene = mounted_volume();
    let first = controllers();
    connect_to(target(0), 4421, &["--wait"]).expect(0);
    cli(&["disconnect", "--controller", &first[0]]).expect(0);
    fs::write("/mnt/still-there", "yes").expect("the volume works");
    cli(&["disconnect", "--controller", &controllers()[0]]).expect(5);
    umount("/mnt").expect("an unmount");
}

fn pcie() {
    let controller = fs::read_dir("/sys/class/nvme")
        .expect("the class directory")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .find(|name| attribute(name, "transport").as_deref() == Some("pcie"))
        .expect("the lab gives a PCIe controller");
    let nqn = attribute(&controller, "subsysnqn").expect("a name");
    for arguments in [
        ["disconnect", "--controller", &controller],
        ["disconnect", "--nqn", &nqn],
    ] {
        cli(&arguments).expect(5).says(&["PCIe"]);
        let forced = program(&arguments)
            .arg("--force")
            .status()
            .expect("the program runs");
        assert_eq!(forced.code(), Some(5));
    }
    assert_eq!(attribute(&controller, "state").as_deref(), Some("live"));
}

fn excluded() {
    let scene = Scene::new();
    scene.volume();
    connect(&["--wait"]).expect(0);
    fs::write(
        "/etc/nvme/exclusions.conf",
        format!("[exclusions]\nexclusion = nqn={NQN}\n"),
    )
    .expect("/etc/nvme is writable");
    cli(&["disconnect", "--nqn", NQN]).expect(0);
    assert_eq!(controllers().len(), 0);
    connect(&["--wait"]).expect(5).says(&["exclu"]);
}
