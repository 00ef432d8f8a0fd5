//! Trees with something wrong in them: it is noted with its path and the rule, in the scan and in the listing, and hides
//! nothing else.

use std::fs;

use nvme_sysfs::{ControllerState, FindNamespaceError, NamespaceSelector, Nqn, Transport, Tree};

use crate::fake::{Fake, NQN, OTHER_UUID, UUID, instances};

struct Whole {
    fake: Fake,
    subsystem: String,
    controller: String,
    head: String,
    path: String,
}

fn whole() -> Whole {
    let fake = Fake::new();
    let subsystem = fake.subsystem(0, NQN);
    let controller = fake.live(0, 0, NQN);
    let head = fake.disk(&subsystem, "nvme0n1", 1, UUID);
    let path = fake.hidden(&controller, "nvme0c0n1", 1, "optimized");
    Whole {
        fake,
        subsystem,
        controller,
        head,
        path,
    }
}

impl Whole {
    /// A scan with one thing unknown, as the scan and the listing tell of it, and the rest in its place.
    fn unknown(&self) -> (Tree, String) {
        let tree = self.fake.scan();
        let [unknown] = tree.unknown().collect::<Vec<_>>()[..] else {
            panic!(
                "one thing unknown: {:?}",
                tree.unknown().collect::<Vec<_>>()
            )
        };
        let below = unknown.path.strip_prefix(self.fake.root());
        let below = below.expect("a path below the root").display().to_string();
        let message = unknown.message.clone();
        assert!(message.contains(&below), "{message}");
        assert_eq!(tree.subsystems.len(), 1);
        assert_eq!(instances(tree.controllers()), [0]);
        assert_eq!(tree.namespaces().count(), 1);
        assert_eq!(tree.paths_of(&tree.subsystems[0].namespaces[0]).count(), 1);
        (tree, message)
    }

    /// How often the listing says that something is unknown; the controller is listed all the same.
    fn listed(&self) -> usize {
        let listing = self.fake.sysfs().list().expect("a listing");
        assert_eq!(listing.hosts[0].subsystems[0].paths[0].name, "nvme0");
        listing.unknown.len()
    }
}

fn nqn() -> Nqn {
    NQN.parse().expect("an nqn")
}

fn by_uuid(uuid: &str) -> NamespaceSelector {
    NamespaceSelector::Uuid(uuid.parse().expect("a uuid"))
}

fn is_refused(tree: &Tree, which: &NamespaceSelector) -> bool {
    let found = tree.find_namespace(&nqn(), which);
    matches!(found, Err(FindNamespaceError::Unknown(_)))
}

#[test]
fn a_root_without_sysfs_is_not_taken_for_a_machine_without_volumes() {
    let root = tempfile::tempdir().expect("a directory");
    let sysfs = nvme_sysfs::Sysfs::at(root.path());
    let expected = format!(
        "{} does not exist: sysfs is not mounted there",
        root.path().join("sys/class").display()
    );
    assert_eq!(sysfs.scan().expect_err("no sysfs").to_string(), expected);
    assert_eq!(sysfs.list().expect_err("no sysfs").to_string(), expected);
}

#[test]
fn garbage_in_a_value_is_named_with_its_rule_and_hides_nothing_else() {
    let whole = whole();
    for (directory, name, seen, rule) in [
        (
            &whole.controller,
            "cntlid",
            "0x1",
            "a controller id (16 bits)",
        ),
        (&whole.controller, "ctrl_loss_tmo", "soon", "seconds or off"),
        (&whole.controller, "reconnect_delay", "1.5", "seconds"),
        (
            &whole.controller,
            "fast_io_fail_tmo",
            "-1",
            "seconds or off",
        ),
        (&whole.controller, "hostid", "host", "a uuid"),
        (&whole.controller, "numa_node", "-2", "a node number or -1"),
        (&whole.controller, "dev", "243", "major:minor"),
        (&whole.head, "uuid", "1234", "a uuid"),
        (&whole.head, "ro", "maybe", "0 or 1"),
        (&whole.head, "nsid", "first", "a namespace id"),
        (&whole.path, "ana_grpid", "A", "a decimal number"),
    ] {
        let below = format!("{directory}/{name}");
        let before = fs::read(whole.fake.path(&below)).expect("read");
        whole.fake.file(&below, format!("{seen}\n"));
        let (_, message) = whole.unknown();
        let expected = format!("{name} is {seen:?}, expected {rule}");
        assert!(message.ends_with(&expected), "{message}");
        whole.fake.file(&below, before);
    }
    assert_eq!(whole.fake.scan().unknown().count(), 0);
}

#[test]
fn a_namespace_of_which_something_is_unknown_is_refused_and_its_neighbour_is_not() {
    let whole = whole();
    whole.fake.disk(&whole.subsystem, "nvme0n2", 2, OTHER_UUID);
    for (name, seen) in [("uuid", "1234"), ("size", "much"), ("dev", "259")] {
        let below = format!("{}/{name}", whole.head);
        let before = fs::read(whole.fake.path(&below)).expect("read");
        whole.fake.file(&below, format!("{seen}\n"));
        let tree = whole.fake.scan();
        assert!(is_refused(&tree, &by_uuid(UUID)), "{name}");
        let other = tree.find_namespace(&nqn(), &by_uuid(OTHER_UUID));
        let other = other.expect("it is known").expect("it is there");
        assert_eq!(other.name, "nvme0n2", "{name}");
        assert!(tree.require(&nqn()).is_err(), "{name}");
        whole.fake.file(&below, before);
    }
}

#[test]
fn what_is_not_there_is_unknown_where_a_namespace_may_be_it() {
    let whole = whole();
    let absent = by_uuid("33333333-9f7f-4856-b0b3-51e60b8de349");
    let found = |tree: &Tree| tree.find_namespace(&nqn(), &absent).map(|it| it.is_some());
    assert!(matches!(found(&whole.fake.scan()), Ok(false)));
    whole.fake.file(&format!("{}/ro", whole.head), "maybe\n");
    assert!(
        matches!(found(&whole.fake.scan()), Ok(false)),
        "its uuid is another one"
    );
    whole.fake.file(&format!("{}/uuid", whole.head), "1234\n");
    assert!(is_refused(&whole.fake.scan(), &absent));
}

#[test]
fn a_counter_that_makes_no_sense_keeps_nobody_from_the_disk() {
    let whole = whole();
    let counter = "diag/io_requeue_no_usable_path_count";
    whole
        .fake
        .file(&format!("{}/{counter}", whole.head), "many\n");
    let (tree, _) = whole.unknown();
    let found = tree.find_namespace(&nqn(), &by_uuid(UUID));
    assert!(found.expect("it is known").is_some());
}

#[test]
fn a_truncated_attribute_that_must_be_there_is_unknown() {
    let whole = whole();
    for below in [
        format!("{}/state", whole.controller),
        format!("{}/subsysnqn", whole.subsystem),
        format!("{}/size", whole.head),
        format!("{}/size", whole.path),
    ] {
        let before = fs::read(whole.fake.path(&below)).expect("read");
        whole.fake.file(&below, "");
        let (tree, message) = whole.unknown();
        assert!(message.contains("expected"), "{message}");
        let controller = &tree.subsystems[0].controllers[0];
        let is_known = controller.state == ControllerState::Live;
        assert_eq!(is_known, !below.ends_with("/state"), "{below}");
        whole.fake.file(&below, before);
    }
    whole
        .fake
        .remove(&format!("{}/transport", whole.controller));
    let (tree, message) = whole.unknown();
    assert!(message.ends_with("nvme0/transport is missing"), "{message}");
    let controller = &tree.subsystems[0].controllers[0];
    assert_eq!(controller.transport, Transport::Other("unknown".to_owned()));
    assert_eq!(whole.listed(), 1);
}

#[test]
fn a_subsystem_without_a_readable_name_may_be_any() {
    let whole = whole();
    whole.fake.subsystem(1, &format!("{NQN}0"));
    assert!(whole.fake.scan().require(&nqn()).is_ok());
    let name = "sys/devices/virtual/nvme-subsystem/nvme-subsys1/subsysnqn";
    whole.fake.file(name, "");
    let tree = whole.fake.scan();
    assert!(tree.require(&nqn()).is_err());
    let found = tree.find_namespace(&nqn(), &by_uuid(UUID));
    assert!(found.expect("it is known").is_some());
    assert!(is_refused(&tree, &by_uuid(OTHER_UUID)));
    let alone = whole.fake.sysfs().scan_subsystem(&nqn()).expect("a scan");
    assert!(alone.require(&nqn()).is_err());
}

#[test]
fn an_attribute_of_a_mebibyte_is_unknown_with_path_and_limit() {
    let whole = whole();
    whole.fake.file(
        &format!("{}/address", whole.controller),
        "x".repeat(1 << 20),
    );
    let (_, message) = whole.unknown();
    assert!(
        message.ends_with("nvme-subsys0/nvme0/address is longer than 65536 bytes"),
        "{message}"
    );
    assert_eq!(whole.listed(), 1);
}

#[test]
fn a_word_that_is_not_utf8_is_unknown() {
    let whole = whole();
    let state = format!("{}/state", whole.controller);
    whole.fake.file(&state, b"li\xffve\n");
    let (tree, message) = whole.unknown();
    assert!(message.ends_with("nvme0/state is not UTF-8"), "{message}");
    let controller = &tree.subsystems[0].controllers[0];
    assert_eq!(
        controller.state,
        ControllerState::Other("unknown".to_owned())
    );
    assert_eq!(whole.listed(), 1);
}

#[test]
fn an_access_state_that_cannot_be_read_is_no_usable_path() {
    let whole = whole();
    let state = format!("{}/ana_state", whole.path);
    whole.fake.file(&state, b"opti\xffmized\n");
    let (tree, _) = whole.unknown();
    let subsystem = &tree.subsystems[0];
    assert!(!subsystem.is_reachable(&subsystem.namespaces[0]));
}

#[test]
fn what_is_called_like_a_controller_and_cannot_be_opened_stays_in_its_place() {
    let whole = whole();
    whole
        .fake
        .link(&format!("{}/nvme9", whole.subsystem), "nvme9");
    let tree = whole.fake.scan();
    assert_eq!(instances(tree.controllers()), [0, 9]);
    let [unknown] = tree.unknown().collect::<Vec<_>>()[..] else {
        panic!("one thing unknown: {tree:?}")
    };
    assert!(unknown.path.ends_with("nvme-subsys0/nvme9"));
    assert!(unknown.message.contains("symbolic links"), "{unknown}");
    assert!(tree.require(&nqn()).is_err());
    let found = tree.find_namespace(&nqn(), &by_uuid(UUID));
    assert!(found.expect("it is known").is_some());
    assert_eq!(whole.listed(), 1);
}

#[test]
fn a_disk_that_cannot_be_opened_stays_in_its_place() {
    let whole = whole();
    whole.fake.file(&format!("{}/nvme0n7", whole.subsystem), "");
    let tree = whole.fake.scan();
    let names = tree.namespaces().map(|disk| disk.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["nvme0n1", "nvme0n7"]);
    let disk = &tree.subsystems[0].namespaces[1];
    assert!(disk.doubt().is_some());
    assert!(is_refused(&tree, &by_uuid(OTHER_UUID)));
}

#[test]
fn a_controller_of_which_something_is_unknown_is_no_orphan() {
    let fake = Fake::new();
    fake.subsystem(0, NQN);
    let controller = fake.live(0, 0, NQN);
    assert_eq!(fake.scan().orphans().count(), 1);
    fake.file(&format!("{controller}/cntlid"), "many\n");
    assert_eq!(fake.scan().orphans().count(), 0);
}

#[test]
fn a_directory_in_place_of_a_file_and_a_file_in_place_of_a_directory_are_unknown() {
    let whole = whole();
    whole.fake.remove(&format!("{}/state", whole.controller));
    fs::create_dir(whole.fake.path(&format!("{}/state", whole.controller))).expect("made");
    let (_, message) = whole.unknown();
    assert!(message.contains("cannot read"), "{message}");
    let fake = Fake::new();
    fake.file("sys/class/nvme-subsystem/nvme-subsys0", "");
    let tree = fake.scan();
    assert_eq!(tree.subsystems[0].name, "nvme-subsys0");
    assert_eq!(tree.unknown().count(), 1);
    assert_eq!(fake.sysfs().list().expect("a listing").unknown.len(), 1);
    let fake = Fake::new();
    fs::remove_dir(fake.path("sys/class/nvme-subsystem")).expect("removed");
    fake.file("sys/class/nvme-subsystem", "");
    assert!(
        fake.sysfs().scan().is_err(),
        "a class that cannot be listed hides them all"
    );
}
