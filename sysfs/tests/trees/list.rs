//! The short listing of trees laid out as the kernel lays them out.

use nvme_sysfs::{ListedHost, ListedPath, ListedSubsystem};

use crate::fake::{Fake, HOSTID, HOSTNQN, NQN};

fn path(name: &str, address: &str) -> ListedPath {
    let [name, transport, address, state] = [name, "tcp", address, "live"].map(str::to_owned);
    ListedPath {
        name,
        transport,
        address,
        state,
    }
}

/// What is listed where everything can be read.
fn listed(fake: &Fake) -> Vec<ListedHost> {
    let listing = fake.sysfs().list().expect("no error");
    assert_eq!(listing.unknown, []);
    listing.hosts
}

#[test]
fn controllers_are_listed_by_host_and_subsystem() {
    let fake = Fake::new();
    fake.subsystem(0, NQN);
    fake.live(0, 0, NQN);
    fake.live(1, 0, NQN);
    let listed = listed(&fake);
    let paths = vec![
        path("nvme0", "traddr=192.168.5.1,trsvcid=4420"),
        path("nvme1", "traddr=192.168.5.2,trsvcid=4420"),
    ];
    let subsystem = ListedSubsystem {
        name: "nvme-subsys0".to_owned(),
        nqn: NQN.to_owned(),
        paths,
    };
    let (hostnqn, hostid) = (Some(HOSTNQN.to_owned()), Some(HOSTID.to_owned()));
    assert_eq!(
        listed,
        [ListedHost {
            hostnqn,
            hostid,
            subsystems: vec![subsystem]
        }]
    );
}

#[test]
fn another_host_name_is_another_host_in_the_same_subsystem() {
    let fake = Fake::new();
    fake.subsystem(0, NQN);
    fake.live(0, 0, NQN);
    let other = fake.live(1, 0, NQN);
    fake.live(2, 0, NQN);
    fake.file(
        &format!("{other}/hostnqn"),
        "nqn.2024-01.com.example:boot\n",
    );
    let listed = listed(&fake);
    let names = listed.iter().map(|host| {
        host.subsystems[0]
            .paths
            .iter()
            .map(|path| path.name.as_str())
            .collect::<Vec<_>>()
    });
    assert_eq!(
        names.collect::<Vec<_>>(),
        [vec!["nvme0", "nvme2"], vec!["nvme1"]]
    );
}

#[test]
fn a_drive_has_no_host_and_its_name_keeps_its_blanks() {
    let made = "nqn.2014.08.org.nvmexpress:1b361af4SERIAL      QEMU  ";
    let fake = Fake::new();
    fake.subsystem(0, made);
    fake.pcie(0, 0, made);
    let listed = listed(&fake);
    assert_eq!((&listed[0].hostnqn, &listed[0].hostid), (&None, &None));
    assert_eq!(listed[0].subsystems[0].nqn, made);
    assert_eq!(listed[0].subsystems[0].paths[0].address, "0000:00:04.0");
}

#[test]
fn a_loop_controller_has_an_empty_address() {
    let fake = Fake::new();
    fake.subsystem(0, NQN);
    let controller = fake.live(0, 0, NQN);
    fake.file(&format!("{controller}/address"), "\n");
    fake.file(&format!("{controller}/transport"), "loop\n");
    let listed = listed(&fake);
    let path = &listed[0].subsystems[0].paths[0];
    assert_eq!(
        (path.transport.as_str(), path.address.as_str()),
        ("loop", "")
    );
}

#[test]
fn empty_subsystems_unattached_controllers_and_gone_ones_are_not_listed() {
    let fake = Fake::new();
    let subsystem = fake.subsystem(0, NQN);
    fake.connecting(5);
    fake.link(
        &format!("{subsystem}/nvme7"),
        "../../nvme-fabrics/ctl/nvme7",
    );
    let gone = fake.live(1, 0, NQN);
    fake.remove(&format!("{gone}/state"));
    assert_eq!(listed(&fake), []);
}

#[test]
fn a_listing_opens_no_attribute_that_it_does_not_print() {
    let fake = Fake::new();
    fake.subsystem(0, NQN);
    let controller = fake.live(0, 0, NQN);
    for name in ["model", "cntlid", "serial"] {
        fake.file(&format!("{controller}/{name}"), "x".repeat(1 << 20));
    }
    assert_eq!(listed(&fake).len(), 1);
}

#[test]
fn hundreds_of_subsystems_are_listed_in_order_and_a_broken_one_hides_none() {
    let fake = Fake::new();
    for number in 0..300 {
        fake.subsystem(number, &format!("{NQN}:{number}"));
        fake.live(number, number, NQN);
    }
    let listed = listed(&fake);
    let names = listed[0].subsystems.iter().map(|subsystem| &subsystem.name);
    let expected = (0..300).map(|number| format!("nvme-subsys{number}"));
    assert!(names.eq(expected.collect::<Vec<_>>().iter()));
    let last = "sys/devices/virtual/nvme-subsystem/nvme-subsys299/subsysnqn";
    fake.file(last, "x".repeat(70_000));
    let listing = fake.sysfs().list().expect("no error");
    assert_eq!(listing.hosts[0].subsystems.len(), 300);
    let [unknown] = &listing.unknown[..] else {
        panic!("one thing unknown: {:?}", listing.unknown)
    };
    assert!(unknown.path.ends_with("nvme-subsys299/subsysnqn"));
}
