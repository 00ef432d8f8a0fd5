//! Questions asked of trees that were scanned.

use nvme_sysfs::{
    AmbiguousNamespace, DevT, FindNamespaceError, Instance, NamespaceSelector, Nqn, Tree,
};

use crate::fake::{Fake, NQN, OTHER_UUID, UUID, instances};

fn nqn() -> Nqn {
    NQN.parse().expect("an nqn")
}

fn find<'a>(tree: &'a Tree, which: &NamespaceSelector) -> Option<&'a str> {
    let found = tree.find_namespace(&nqn(), which).expect("not ambiguous");
    found.map(|namespace| namespace.name.as_str())
}

fn by_uuid(uuid: &str) -> NamespaceSelector {
    NamespaceSelector::Uuid(uuid.parse().expect("a uuid"))
}

fn by_nsid(nsid: &str) -> NamespaceSelector {
    NamespaceSelector::Nsid(nsid.parse().expect("a namespace id"))
}

/// Two namespaces whose running numbers are not their ids, and another subsystem whose name begins alike.
fn two_namespaces() -> (Fake, Tree) {
    let fake = Fake::new();
    let subsystem = fake.subsystem(0, NQN);
    fake.live(5, 0, NQN);
    fake.disk(&subsystem, "nvme0n1", 2, UUID);
    fake.disk(&subsystem, "nvme0n2", 1, OTHER_UUID);
    let alike = format!("{NQN}0");
    let other = fake.subsystem(1, &alike);
    fake.disk(&other, "nvme1n1", 3, UUID);
    let tree = fake.scan();
    (fake, tree)
}

#[test]
fn a_namespace_is_found_by_what_it_is_not_by_how_it_is_called() {
    let (_fake, tree) = two_namespaces();
    assert_eq!(find(&tree, &by_uuid(UUID)), Some("nvme0n1"));
    assert_eq!(find(&tree, &by_nsid("1")), Some("nvme0n2"));
    assert_eq!(
        find(&tree, &by_nsid("3")),
        None,
        "a name that begins alike is another name"
    );
    assert_eq!(
        find(&tree, &by_uuid("11111111-9f7f-4856-b0b3-51e60b8de349")),
        None
    );
}

fn ambiguous(tree: &Tree, which: &NamespaceSelector) -> AmbiguousNamespace {
    match tree.find_namespace(&nqn(), which) {
        Err(FindNamespaceError::Ambiguous(error)) => error,
        other => panic!("several namespaces: {other:?}"),
    }
}

fn names(error: &AmbiguousNamespace) -> Vec<&str> {
    let names = error.candidates.iter().map(|candidate| &*candidate.name);
    names.collect()
}

#[test]
fn the_only_namespace_of_two_is_an_error_that_names_both() {
    let (_fake, tree) = two_namespaces();
    let error = ambiguous(&tree, &NamespaceSelector::Only);
    assert_eq!(names(&error), ["nvme0n1", "nvme0n2"]);
    let candidates = format!("nvme0n1 (nsid 2, uuid {UUID}), nvme0n2 (nsid 1, uuid {OTHER_UUID})");
    let expected = format!("subsystem {NQN} has several namespaces that match: {candidates}");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn other_identifiers_select_too() {
    let fake = Fake::new();
    let subsystem = fake.subsystem(0, NQN);
    let head = fake.disk(&subsystem, "nvme0n1", 1, UUID);
    // Without a UUID of its own the kernel repeats the NGUID there.
    fake.file(&format!("{head}/nguid"), format!("{UUID}\n"));
    fake.file(
        &format!("{head}/wwid"),
        format!("eui.{}\n", UUID.replace('-', "")),
    );
    fake.file(&format!("{head}/eui"), "00 25 38 b1 91 b0 2a 3c\n");
    let tree = fake.scan();
    let nguid = NamespaceSelector::Nguid(UUID.parse().expect("an nguid"));
    assert_eq!(find(&tree, &nguid), Some("nvme0n1"));
    assert_eq!(
        find(
            &tree,
            &NamespaceSelector::Eui64("002538b191b02a3c".parse().expect("an eui64"))
        ),
        Some("nvme0n1")
    );
    assert_eq!(tree.subsystems[0].namespaces[0].identity.uuid, None);
    assert_eq!(
        find(&tree, &by_uuid(UUID)),
        Some("nvme0n1"),
        "by what `uuid` shows"
    );
    assert_eq!(find(&tree, &NamespaceSelector::Only), Some("nvme0n1"));
}

#[test]
fn a_uuid_of_which_the_target_made_the_nguid_is_a_uuid() {
    let fake = Fake::new();
    let subsystem = fake.subsystem(0, NQN);
    let head = fake.disk(&subsystem, "nvme0n1", 1, UUID);
    fake.file(&format!("{head}/nguid"), format!("{UUID}\n"));
    let tree = fake.scan();
    let identity = tree.subsystems[0].namespaces[0].identity;
    assert_eq!(identity.uuid, UUID.parse().ok());
    assert_eq!(identity.nguid, UUID.parse().ok());
    let nguid = NamespaceSelector::Nguid(UUID.parse().expect("an nguid"));
    for which in [by_uuid(UUID), nguid] {
        assert_eq!(find(&tree, &which), Some("nvme0n1"));
    }
}

#[test]
fn a_uuid_and_an_nguid_of_the_same_digits_are_two_namespaces() {
    let fake = Fake::new();
    let subsystem = fake.subsystem(0, NQN);
    fake.disk(&subsystem, "nvme0n1", 1, UUID);
    let other = fake.disk(&subsystem, "nvme0n2", 2, UUID);
    fake.file(&format!("{other}/nguid"), format!("{UUID}\n"));
    fake.file(
        &format!("{other}/wwid"),
        format!("eui.{}\n", UUID.replace('-', "")),
    );
    let tree = fake.scan();
    let error = ambiguous(&tree, &by_uuid(UUID));
    assert_eq!(names(&error), ["nvme0n1", "nvme0n2"]);
}

#[test]
fn devices_and_controllers_are_found_by_number() {
    let (_fake, tree) = two_namespaces();
    let found = tree.find_namespace_by_dev(DevT {
        major: 259,
        minor: 8,
    });
    assert_eq!(
        found.map(|namespace| namespace.name.as_str()),
        Some("nvme0n1")
    );
    assert_eq!(
        tree.find_namespace_by_dev(DevT { major: 8, minor: 0 }),
        None
    );
    assert_eq!(
        tree.find_controller(Instance(5))
            .map(|controller| controller.instance),
        Some(Instance(5))
    );
    assert_eq!(tree.find_controller(Instance(0)), None);
    assert_eq!(
        tree.find_subsystems(&nqn())
            .map(|found| found.name.as_str())
            .collect::<Vec<_>>(),
        ["nvme-subsys0"]
    );
}

/// One namespace as two disks, as with `nvme_core.multipath=N`.
fn two_disks(second_uuid: &str) -> (Fake, [String; 2]) {
    let fake = Fake::new();
    fake.subsystem(0, NQN);
    let controllers = [0, 1].map(|instance| fake.live(instance, 0, NQN));
    fake.disk(&controllers[0], "nvme0n1", 1, UUID);
    fake.disk(&controllers[1], "nvme1n1", 1, second_uuid);
    (fake, controllers)
}

#[test]
fn of_two_disks_of_one_namespace_the_one_of_a_live_controller_is_found() {
    let (fake, controllers) = two_disks(UUID);
    assert_eq!(
        find(&fake.scan(), &NamespaceSelector::Only),
        Some("nvme0n1")
    );
    fake.file(&format!("{}/state", controllers[0]), "connecting\n");
    assert_eq!(
        find(&fake.scan(), &NamespaceSelector::Only),
        Some("nvme1n1")
    );
    fake.file(&format!("{}/state", controllers[1]), "connecting\n");
    assert_eq!(
        find(&fake.scan(), &NamespaceSelector::Only),
        Some("nvme0n1")
    );
}

#[test]
fn two_disks_of_one_number_and_two_identities_are_two_namespaces() {
    let (fake, _) = two_disks(OTHER_UUID);
    assert!(fake.scan().find_namespace(&nqn(), &by_nsid("1")).is_err());
    assert_eq!(find(&fake.scan(), &by_uuid(OTHER_UUID)), Some("nvme1n1"));
}

#[test]
fn a_live_controller_without_any_namespace_is_an_orphan() {
    let fake = Fake::new();
    fake.subsystem(0, NQN);
    let controller = fake.live(0, 0, NQN);
    assert_eq!(instances(fake.scan().orphans()), [0]);
    fake.file(&format!("{controller}/state"), "connecting\n");
    assert_eq!(instances(fake.scan().orphans()), [0; 0]);
}

#[test]
fn a_controller_with_a_path_or_a_disk_is_no_orphan() {
    let fake = Fake::new();
    fake.subsystem(0, NQN);
    let inaccessible = fake.live(0, 0, NQN);
    fake.hidden(&inaccessible, "nvme0c0n1", 1, "inaccessible");
    let own_disk = fake.live(1, 0, NQN);
    fake.disk(&own_disk, "nvme1n1", 1, UUID);
    assert_eq!(instances(fake.scan().orphans()), [0; 0]);
}

#[test]
fn a_discovery_controller_is_no_orphan_whether_the_kernel_tells_types_or_not() {
    let fake = Fake::new();
    let discovery = "nqn.2014-08.org.nvmexpress.discovery";
    fake.subsystem(0, discovery);
    let well_known = fake.live(0, 0, discovery);
    fake.remove(&format!("{well_known}/cntrltype"));
    fake.subsystem(1, NQN);
    let unique = fake.live(1, 1, NQN);
    fake.file(&format!("{unique}/cntrltype"), "discovery\n");
    fake.connecting(2);
    assert_eq!(instances(fake.scan().orphans()), [0; 0]);
}

#[test]
fn two_heads_of_one_identity_are_never_taken_for_one_volume() {
    let fake = Fake::new();
    let subsystem = fake.subsystem(0, NQN);
    fake.disk(&subsystem, "nvme0n1", 1, UUID);
    fake.disk(&subsystem, "nvme0n2", 1, UUID);
    let tree = fake.scan();
    let error = ambiguous(&tree, &by_uuid(UUID));
    assert_eq!(names(&error), ["nvme0n1", "nvme0n2"]);
}
