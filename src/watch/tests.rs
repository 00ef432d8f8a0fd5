//! Which trees are handed out, and when.

use std::fs;
use std::path::Path;
use std::thread;

use super::*;

fn empty_machine() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(root.path().join("sys/class/nvme-subsystem")).expect("directories");
    root
}

fn add_subsystem(root: &Path) {
    let directory = root.join("sys/class/nvme-subsystem/nvme-subsys0");
    fs::create_dir_all(&directory).expect("a directory");
    fs::write(directory.join("subsysnqn"), "nqn.2026-01.org.example:a\n").expect("a file");
}

#[test]
fn without_a_watch_a_wait_ends_at_its_deadline() {
    let root = empty_machine();
    let trees = Trees::of(Sysfs::at(root.path()));
    let seen = trees.scan().expect("a tree");
    let deadline = Instant::now() + Duration::from_millis(10);
    assert!(trees.wait_newer(&seen, deadline).is_none());
    assert!(Instant::now() >= deadline);
}

#[test]
fn a_change_is_published_to_whoever_waits() {
    let root = empty_machine();
    let trees = Trees::of(Sysfs::at(root.path()));
    let seen = trees.scan().expect("a tree");
    assert!(seen.subsystems.is_empty());
    add_subsystem(root.path());
    let deadline = Instant::now() + Duration::from_secs(60);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| trees.wait_newer(&seen, deadline));
        trees.scan().expect("a tree");
        let newer = waiting.join().expect("no panic").expect("in time");
        assert_eq!(newer.subsystems.len(), 1);
    });
}

#[test]
fn a_tree_that_is_not_newer_is_not_waited_for_twice() {
    let root = empty_machine();
    let trees = Trees::of(Sysfs::at(root.path()));
    let seen = trees.scan().expect("a tree");
    let newer = trees.scan().expect("a tree");
    assert_eq!((seen.number(), newer.number()), (1, 2));
    assert_eq!(trees.last().map(|last| last.number()), Some(2));
    assert!(trees.wait_newer(&seen, Instant::now()).is_some());
    assert!(trees.wait_newer(&newer, Instant::now()).is_none());
}

#[test]
fn a_watch_publishes_at_once_and_a_closed_one_ends() {
    let root = empty_machine();
    let trees = Trees::of(Sysfs::at(root.path()));
    let seen = trees.scan().expect("a tree");
    let watching = trees.clone();
    thread::spawn(move || watching.watch(|_| {}));
    let deadline = Instant::now() + Duration::from_secs(60);
    assert!(trees.wait_newer(&seen, deadline).is_some());
    trees.close();
    trees.watch(|_| {});
}

fn captured(name: &str) -> tempfile::TempDir {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sysfs");
    let tree = fixtures.join(format!("{name}.tree"));
    kernel_lab::tree::unpack(&tree).expect("a captured tree")
}

#[test]
fn a_drive_that_cannot_be_read_in_full_keeps_no_volume_from_being_judged() {
    let root = captured("trixie-pcie");
    let trees = Trees::of(Sysfs::at(root.path()));
    let drive = root.path().join("sys/class/nvme/nvme0");
    fs::write(drive.join("cntlid"), "many\n").expect("a file");
    fs::write(root.path().join("sys/block/nvme0n1/ro"), "maybe\n").expect("a file");
    let tree = trees.scan().expect("a tree");
    assert_eq!(tree.unknown().count(), 2);
    fs::write(root.path().join("sys/block/nvme0n1/dev"), "259\n").expect("a file");
    assert!(trees.scan().is_err(), "it may be any disk");
}

#[test]
fn what_cannot_be_read_is_news_once_until_it_can_be_read_again() {
    let root = captured("trixie-pcie");
    let trees = Trees::of(Sysfs::at(root.path()));
    let cntlid = root.path().join("sys/class/nvme/nvme0/cntlid");
    let before = fs::read(&cntlid).expect("a file");
    let mut told = BTreeSet::new();
    let mut news = || find_news(&trees.scan().expect("a tree"), &mut told).len();
    fs::write(&cntlid, "many\n").expect("a file");
    assert_eq!((news(), news()), (1, 0));
    fs::write(&cntlid, &before).expect("a file");
    assert_eq!(news(), 0);
    fs::write(&cntlid, "many\n").expect("a file");
    assert_eq!(news(), 1);
}

#[test]
fn what_may_be_a_volume_and_cannot_be_read_is_neither_well_nor_ill() {
    let root = captured("trixie-one-path");
    let trees = Trees::of(Sysfs::at(root.path()));
    trees.scan().expect("a tree");
    fs::write(root.path().join("sys/block/nvme0n1/ro"), "maybe\n").expect("a file");
    assert!(trees.scan().is_err());
}

#[test]
fn what_cannot_be_read_of_a_subsystem_that_is_no_volumes_concerns_nobody() {
    const NQN: &str = "nqn.2026-01.org.example:volume-1";
    let root = captured("trixie-one-path");
    let trees = Trees::of(Sysfs::at(root.path()));
    trees.concern_only([]);
    let disk = root.path().join("sys/block/nvme0n1");
    fs::write(disk.join("ro"), "maybe\n").expect("a file");
    assert_eq!(trees.scan().expect("a tree").unknown().count(), 1);
    let name = root
        .path()
        .join("sys/class/nvme-subsystem/nvme-subsys0/subsysnqn");
    fs::write(&name, "").expect("a file");
    assert!(trees.scan().is_err(), "it may be any subsystem");
    fs::write(&name, format!("{NQN}\n")).expect("a file");
    trees.scan().expect("another subsystem again");
    let concerned = trees.concern(&NQN.parse().expect("an NQN"));
    let again = trees.concern(&NQN.parse().expect("an NQN"));
    drop(concerned);
    trees.concern_only([]);
    assert!(trees.scan().is_err(), "an operation is under way");
    drop(again);
    assert!(trees.scan().is_err(), "it may have recorded something");
    trees.concern_only([]);
    trees.scan().expect("of nobody's concern any more");
}

#[test]
fn what_is_staged_is_of_concern_only_as_long_as_all_of_it_is_known_anew() {
    let root = captured("trixie-one-path");
    let trees = Trees::of(Sysfs::at(root.path()));
    fs::write(root.path().join("sys/block/nvme0n1/ro"), "maybe\n").expect("a file");
    let nqn: Nqn = "nqn.2026-01.org.example:volume-1".parse().expect("an NQN");
    let found = |nqns: Option<BTreeSet<Nqn>>| trees.concern_found(|| nqns, Clone::clone);
    found(None);
    assert!(trees.scan().is_err(), "everybody's");
    found(Some(BTreeSet::new()));
    trees.scan().expect("nobody's");
    found(Some(BTreeSet::from([nqn.clone()])));
    found(None);
    assert!(trees.scan().is_err(), "what was of concern stays so");
    // A stage that ends while the records are read, and may have been missed.
    let ends = || drop(trees.concern(&nqn));
    trees.concern_found(ends, |()| Some(BTreeSet::new()));
    assert!(trees.scan().is_err(), "it may have recorded something");
    found(Some(BTreeSet::new()));
    trees.scan().expect("nothing was missed");
}

#[test]
fn a_foreign_controller_that_connects_for_the_first_time_keeps_no_volume_from_being_judged() {
    let root = captured("trixie-one-path");
    let trees = Trees::of(Sysfs::at(root.path()));
    trees.concern_only([]);
    let other = root.path().join("sys/class/nvme/nvme7");
    fs::create_dir_all(&other).expect("a directory");
    for (name, value) in [("state", "connecting\n"), ("transport", "tcp\n")] {
        fs::write(other.join(name), value).expect("a file");
    }
    fs::write(other.join("cntlid"), "many\n").expect("a file");
    assert!(trees.scan().is_err(), "it may be of any subsystem");
    let nqn = "nqn.2026-01.org.example:other";
    fs::write(other.join("subsysnqn"), format!("{nqn}\n")).expect("a file");
    trees.scan().expect("it is of another one");
    let _concerned = trees.concern(&nqn.parse().expect("an NQN"));
    assert!(trees.scan().is_err());
}

#[test]
fn a_foreign_subsystem_that_cannot_be_listed_may_hide_any_disk() {
    let root = captured("trixie-one-path");
    let trees = Trees::of(Sysfs::at(root.path()));
    trees.concern_only([]);
    let mut tree = Tree::clone(&trees.scan().expect("a tree"));
    let subsystem = root
        .path()
        .join("sys/class/nvme-subsystem/nvme-subsys0")
        .canonicalize()
        .expect("a directory");
    let doubt = |path: &str| Unknown {
        path: subsystem.join(path),
        message: "cannot be read".to_owned(),
    };
    tree.subsystems[0].unknown = vec![doubt("iopolicy")];
    let concern = Concern {
        staged: Some(BTreeSet::new()),
        ..Concern::default()
    };
    assert_eq!(find_doubt(&tree, &concern), None);
    tree.subsystems[0].unknown = vec![doubt("")];
    tree.subsystems[0].namespaces.clear();
    assert_eq!(find_doubt(&tree, &concern), Some(&doubt("")));
    // A controller of which the directory cannot be opened.
    let controller = subsystem.join("nvme0");
    fs::rename(&controller, root.path().join("away")).expect("it goes");
    fs::write(&controller, "").expect("a file");
    assert!(trees.scan().is_err());
}

#[test]
fn a_scan_that_fails_publishes_nothing_and_does_not_stop_the_next() {
    let root = empty_machine();
    let trees = Trees::of(Sysfs::at(root.path().join("nowhere")));
    for _ in 0..2 {
        assert!(trees.scan().is_err());
    }
}
