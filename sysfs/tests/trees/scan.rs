//! Which subsystems, controllers, disks and paths a scan finds in a tree, and which it leaves out.

use nvme_sysfs::{Instance, NamespaceKind, Sysfs, Transport};

use crate::fake::{Fake, NQN, OTHER_UUID, UUID, instances};

#[test]
fn a_machine_without_the_driver_has_an_empty_tree() {
    let root = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(root.path().join("sys/class")).expect("made");
    let tree = nvme_sysfs::Sysfs::at(root.path()).scan().expect("no error");
    assert_eq!(tree, nvme_sysfs::Tree::default());
}

#[test]
fn two_controllers_are_two_paths_of_one_head() {
    let fake = Fake::new();
    let subsystem = fake.subsystem(0, NQN);
    fake.disk(&subsystem, "nvme0n1", 1, UUID);
    for (instance, ana_state) in [(0, "optimized"), (10, "inaccessible"), (2, "optimized")] {
        let controller = fake.live(instance, 0, NQN);
        fake.hidden(&controller, &format!("nvme0c{instance}n1"), 1, ana_state);
    }
    let tree = fake.scan();
    assert_eq!(instances(tree.controllers()), [0, 2, 10]);
    let head = &tree.subsystems[0].namespaces[0];
    let states = tree.paths_of(head).map(|(_, path)| path.is_accessible());
    assert_eq!(states.collect::<Vec<_>>(), [true, true, false]);
}

#[test]
fn the_links_of_a_head_tell_its_paths_before_their_names_do() {
    let fake = Fake::new();
    let subsystem = fake.subsystem(0, NQN);
    let head = fake.disk(&subsystem, "nvme0n2", 1, UUID);
    let controller = fake.live(0, 0, NQN);
    fake.hidden(&controller, "nvme0c0n1", 1, "optimized");
    fake.hidden(&controller, "nvme0c0n3", 3, "optimized");
    fake.link(
        &format!("{head}/multipath/nvme0c0n1"),
        "../../../../nvme-fabrics/ctl/nvme0/nvme0c0n1",
    );
    let tree = fake.scan();
    let heads = tree.subsystems[0].controllers[0]
        .paths
        .iter()
        .map(|path| path.head.as_str());
    assert_eq!(heads.collect::<Vec<_>>(), ["nvme0n2", "nvme0n3"]);
}

#[test]
fn without_multipath_each_controller_has_its_own_disk() {
    let fake = Fake::new();
    fake.file("sys/module/nvme_core/parameters/multipath", "N\n");
    fake.subsystem(0, NQN);
    for instance in [0, 1] {
        let controller = fake.live(instance, 0, NQN);
        fake.disk(&controller, &format!("nvme{instance}n1"), 1, UUID);
    }
    let tree = fake.scan();
    assert_eq!(tree.multipath, Some(false));
    let namespaces = tree
        .namespaces()
        .map(|namespace| (namespace.name.as_str(), namespace.kind));
    assert_eq!(
        namespaces.collect::<Vec<_>>(),
        [
            ("nvme0n1", NamespaceKind::Disk(Instance(0))),
            ("nvme1n1", NamespaceKind::Disk(Instance(1)))
        ]
    );
    assert_eq!(tree.paths_of(&tree.subsystems[0].namespaces[0]).count(), 0);
}

#[test]
fn a_pcie_drive_with_a_name_made_by_the_kernel_stands_beside_fabrics() {
    let made = "nqn.2014.08.org.nvmexpress:1b361af4SERIAL              QEMU NVMe Ctrl  ";
    let fake = Fake::new();
    fake.subsystem(0, made);
    let drive = fake.pcie(0, 0, made);
    fake.disk(&drive, "nvme0n1", 1, OTHER_UUID);
    fake.subsystem(1, NQN);
    fake.live(1, 1, NQN);
    let tree = fake.scan();
    let drive = &tree.subsystems[0];
    assert_eq!((&drive.nqn, drive.nqn_text.as_str()), (&None, made));
    assert_eq!(drive.controllers[0].transport, Transport::Pcie);
    assert_eq!(
        drive.controllers[0].address.traddr.as_deref(),
        Some("0000:00:04.0")
    );
    assert_eq!(
        (
            &drive.controllers[0].hostnqn,
            drive.controllers[0].numa_node
        ),
        (&None, Some(0))
    );
    assert_eq!(drive.namespaces[0].kind, NamespaceKind::Disk(Instance(0)));
    assert!(tree.subsystems[1].nqn.is_some());
}

#[test]
fn an_empty_subsystem_and_a_head_held_without_controllers_are_kept() {
    let fake = Fake::new();
    fake.subsystem(0, "nqn.2024-01.com.example:empty");
    let held = fake.subsystem(1, NQN);
    fake.disk(&held, "nvme1n1", 1, UUID);
    let tree = fake.scan();
    assert!(tree.subsystems[0].controllers.is_empty() && tree.subsystems[0].namespaces.is_empty());
    assert!(tree.subsystems[1].controllers.is_empty());
    assert!(!tree.subsystems[1].is_reachable(&tree.subsystems[1].namespaces[0]));
}

#[test]
fn a_link_to_a_controller_that_is_gone_is_passed_over() {
    let fake = Fake::new();
    let subsystem = fake.subsystem(0, NQN);
    fake.link(
        &format!("{subsystem}/nvme7"),
        "../../nvme-fabrics/ctl/nvme7",
    );
    fake.link(
        "sys/class/nvme/nvme8",
        "../../devices/virtual/nvme-fabrics/ctl/nvme8",
    );
    let tree = fake.scan();
    assert_eq!(tree.controllers().count(), 0);
    assert_eq!(tree.subsystems.len(), 1);
}

#[test]
fn entries_that_vanish_between_two_reads_are_left_out_as_a_whole() {
    let fake = Fake::new();
    let subsystem = fake.subsystem(0, NQN);
    let first = fake.live(0, 0, NQN);
    fake.live(1, 0, NQN);
    fake.hidden(&first, "nvme0c0n1", 1, "optimized");
    let head = fake.disk(&subsystem, "nvme0n1", 1, UUID);
    fake.disk(&subsystem, "nvme0n2", 2, OTHER_UUID);
    // What a scan finds that opened the directories just before the kernel emptied them: no proof in them.
    fake.remove(&format!("{first}/state"));
    fake.remove(&format!("{head}/size"));
    let tree = fake.scan();
    assert_eq!(instances(tree.controllers()), [1]);
    assert_eq!(
        tree.namespaces()
            .map(|namespace| namespace.name.as_str())
            .collect::<Vec<_>>(),
        ["nvme0n2"]
    );
    fake.remove(&format!("{subsystem}/subsysnqn"));
    assert!(fake.scan().subsystems.is_empty());
}

#[test]
fn an_address_that_is_read_once_is_not_read_again_for_the_same_controller() {
    let fake = Fake::new();
    fake.subsystem(0, NQN);
    let first = fake.live(0, 0, NQN);
    let connecting = fake.connecting(1);
    let once = fake.sysfs().reading_addresses_once();
    let addresses = |sysfs: &Sysfs| -> Vec<String> {
        let tree = sysfs.scan().expect("a scan");
        tree.controllers()
            .map(|controller| controller.address_text.clone())
            .collect()
    };
    let before = addresses(&once);
    assert_eq!(before, addresses(&fake.sysfs()));
    fake.file(&format!("{first}/address"), "traddr=10.0.0.1\n");
    fake.file(&format!("{connecting}/address"), "traddr=10.0.0.2\n");
    assert_eq!(addresses(&once.clone()), before);
    let by_name = once.scan_subsystem(&NQN.parse().expect("an nqn"));
    let by_name = by_name.expect("a scan").subsystems;
    assert_eq!(by_name[0].controllers[0].address_text, before[0]);
    assert_eq!(
        addresses(&fake.sysfs()),
        ["traddr=10.0.0.1", "traddr=10.0.0.2"]
    );
}

#[test]
fn an_address_that_is_read_once_is_not_that_of_another_controller_of_the_same_number() {
    let fake = Fake::new();
    fake.subsystem(0, NQN);
    let directory = fake.live(0, 0, NQN);
    let once = fake.sysfs().reading_addresses_once();
    once.scan().expect("a scan");
    // The old directory stays, so that the new one has another inode.
    let path = fake.path(&directory);
    std::fs::rename(&path, fake.path("old")).expect("moved");
    std::fs::create_dir(&path).expect("made");
    for entry in std::fs::read_dir(fake.path("old")).expect("listed") {
        let entry = entry.expect("an entry");
        std::fs::rename(entry.path(), path.join(entry.file_name())).expect("moved");
    }
    fake.file(&format!("{directory}/address"), "traddr=10.0.0.1\n");
    let tree = once.scan().expect("a scan");
    let controller = tree.controllers().next().expect("a controller");
    assert_eq!(controller.address_text, "traddr=10.0.0.1");
}
