//! Paths and namespaces: several, changing, and on kernels without native multipath.

use nvme_sysfs::{AnaState, Sysfs, Tree};

use crate::case::{Case, Need, Profile};
use crate::scene::{
    NQN, OTHER_UUID, Scene, UUID, add_namespace, cli, connect, connect_to, controllers, eventually,
    subsystem, target,
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "two_addresses_of_one_subsystem_are_one_head_with_two_paths",
        two_paths,
    ),
    Case::new(
        "namespaces_added_removed_and_swapped_are_told_apart",
        changing,
    ),
    Case::new("several_namespaces_must_be_chosen_from", several),
    Case::new("a_live_controller_without_namespace_is_an_orphan", orphan),
    Case::new("loop_connects_without_a_network", loop_transport).needs(Need::Module("nvme-loop")),
    Case::new(
        "without_multipath_the_controllers_own_disk_is_resolved",
        multipath_off,
    )
    .on(Profile::MultipathOff),
];

fn scan() -> Tree {
    Sysfs::at("/").scan().expect("sysfs is readable")
}

fn two_paths() {
    let scene = Scene::new();
    let volume = subsystem(NQN, &[(1, UUID)]);
    scene.listen(1, target(0), 4420, &[&volume]);
    let second = scene.listen(2, target(0), 4421, &[&volume]);
    second
        .set_ana_state(1, "inaccessible")
        .expect("an ANA state");
    connect(&["--wait"]).expect(0);
    connect_to(target(0), 4421, &[]).expect(0);
    eventually("both paths", || {
        let tree = scan();
        let nqn = NQN.parse().expect("a name");
        let subsystem = tree.find_subsystems(&nqn).next()?.clone();
        let states: Vec<AnaState> = subsystem
            .controllers
            .iter()
            .flat_map(|controller| &controller.paths)
            .filter_map(|path| path.ana_state.clone())
            .collect();
        (subsystem.namespaces.len() == 1 && states == [AnaState::Optimized, AnaState::Inaccessible])
            .then_some(())
    });
    second.set_ana_state(1, "optimized").expect("an ANA state");
    eventually("the second path to open", || {
        let tree = scan();
        tree.controllers()
            .flat_map(|controller| &controller.paths)
            .filter(|path| path.ana_state == Some(AnaState::Optimized))
            .nth(1)
            .map(|_| ())
    });
    assert_eq!(controllers().len(), 2);
}

fn resolved(uuid: &str) -> Option<String> {
    let run = cli(&["resolve", "--nqn", NQN, "--uuid", uuid]);
    (run.code == Some(0)).then(|| run.out.trim().to_owned())
}

fn changing() {
    let scene = Scene::new();
    let (volume, _) = scene.volume();
    connect(&["--wait"]).expect(0);
    let first = resolved(UUID).expect("the first namespace");

    add_namespace(&volume, 2, OTHER_UUID);
    let second = eventually("the added namespace", || resolved(OTHER_UUID));
    assert_ne!(first, second);

    volume.remove_namespace(1).expect("a namespace is removed");
    eventually("the removed namespace to go", || {
        resolved(UUID).is_none().then_some(())
    });
    assert_eq!(resolved(OTHER_UUID), Some(second.clone()));

    // Another volume behind the same number: never taken for the old one.
    volume.remove_namespace(2).expect("a namespace is removed");
    eventually("the second namespace to go", || {
        resolved(OTHER_UUID).is_none().then_some(())
    });
    add_namespace(&volume, 2, UUID);
    eventually("the swapped namespace", || resolved(UUID));
    assert_eq!(resolved(OTHER_UUID), None);
}

fn several() {
    let scene = Scene::new();
    let volume = subsystem(NQN, &[(1, UUID), (7, OTHER_UUID)]);
    scene.listen(1, target(0), 4420, &[&volume]);
    connect(&["--wait", "--nsid", "7"]).expect(0);
    eventually("both namespaces", || {
        resolved(UUID).zip(resolved(OTHER_UUID))
    });
    cli(&["resolve", "--nqn", NQN])
        .expect(1)
        .says(&[UUID, OTHER_UUID]);
    let by_number = cli(&["resolve", "--nqn", NQN, "--nsid", "7"]).expect(0);
    assert_eq!(Some(by_number.out.trim().to_owned()), resolved(OTHER_UUID));
}

fn orphan() {
    let scene = Scene::new();
    let (volume, _) = scene.volume();
    connect(&["--wait"]).expect(0);
    assert_eq!(scan().orphans().count(), 0);
    volume.disable(1).expect("the namespace is hidden");
    eventually("the orphan", || scan().orphans().next().map(|_| ()));
    volume.enable(1).expect("the namespace is shown");
    eventually("no orphan", || {
        scan().orphans().next().is_none().then_some(())
    });
}

fn loop_transport() {
    let _scene = Scene::new();
    let volume = subsystem(NQN, &[(1, UUID)]);
    let port = kernel_lab::guest::nvmet::Port::loopback(1).expect("a loop port");
    port.export(&volume).expect("the subsystem is exported");
    let run = cli(&[
        "connect",
        "--transport",
        "loop",
        "--nqn",
        NQN,
        "--wait",
        "-o",
        "json",
    ])
    .expect(0)
    .json();
    assert!(
        run["device"]
            .as_str()
            .is_some_and(|device| device.starts_with("/dev/nvme")),
        "{run}"
    );
    cli(&["connect", "--transport", "loop", "--nqn", NQN]).expect(0);
    assert_eq!(controllers().len(), 1);
    cli(&["disconnect", "--nqn", NQN]).expect(0);
    assert_eq!(controllers(), Vec::<String>::new());
}

fn multipath_off() {
    let scene = Scene::new();
    let volume = subsystem(NQN, &[(1, UUID)]);
    scene.listen(1, target(0), 4420, &[&volume]);
    scene.listen(2, target(0), 4421, &[&volume]);
    connect(&["--wait"]).expect(0);
    connect_to(target(0), 4421, &["--wait"]).expect(0);
    let tree = scan();
    assert_eq!(tree.multipath, Some(false));
    let device = resolved(UUID).expect("one of the two disks");
    let name = device.trim_start_matches("/dev/");
    let own = controllers()
        .into_iter()
        .find(|controller| name.starts_with(&format!("{controller}n")));
    let own = own.expect("the disk carries its controller's number");
    cli(&["disconnect", "--controller", &own]).expect(0);
    let other = resolved(UUID).expect("the other disk");
    assert_ne!(other, device);
}
