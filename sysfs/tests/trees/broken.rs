//! Trees with something wrong in them: an error that names the path and the rule, from the scan and from the listing.

use std::error::Error;
use std::fs;

use nvme_sysfs::ScanError;

use crate::fake::{Fake, NQN, UUID};

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
    /// The error of a scan, with the path at fault as a text below the root.
    fn error(&self) -> (String, ScanError) {
        let error = self.fake.sysfs().scan().expect_err("something is broken");
        let below = error
            .path()
            .strip_prefix(self.fake.root())
            .expect("a path below the root");
        (below.display().to_string(), error)
    }
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
fn garbage_in_a_number_is_named_with_its_rule() {
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
        let (path, error) = whole.error();
        assert!(path.ends_with(name), "{path}");
        let ScanError::Invalid {
            value,
            rule: broken,
            ..
        } = error
        else {
            panic!("{name}: {error}")
        };
        assert_eq!((value.as_str(), broken), (seen, rule));
        whole.fake.file(&below, before);
    }
    assert!(whole.fake.sysfs().scan().is_ok());
}

#[test]
fn a_truncated_attribute_that_must_be_there_is_an_error() {
    let whole = whole();
    for below in [
        format!("{}/state", whole.controller),
        format!("{}/subsysnqn", whole.subsystem),
        format!("{}/size", whole.head),
        format!("{}/size", whole.path),
    ] {
        let before = fs::read(whole.fake.path(&below)).expect("read");
        whole.fake.file(&below, "");
        let (path, error) = whole.error();
        assert!(matches!(error, ScanError::Invalid { .. }), "{error}");
        assert_eq!(path.rsplit('/').next(), below.rsplit('/').next());
        whole.fake.file(&below, before);
    }
    whole
        .fake
        .remove(&format!("{}/transport", whole.controller));
    assert!(
        matches!(whole.error(), (path, ScanError::Missing { .. }) if path.ends_with("nvme0/transport"))
    );
    assert!(matches!(
        whole.fake.sysfs().list(),
        Err(ScanError::Missing { .. })
    ));
}

#[test]
fn an_attribute_of_a_mebibyte_is_an_error_that_names_path_and_limit() {
    let whole = whole();
    whole.fake.file(
        &format!("{}/address", whole.controller),
        "x".repeat(1 << 20),
    );
    let (path, error) = whole.error();
    assert_eq!(path, "sys/class/nvme-subsystem/nvme-subsys0/nvme0/address");
    assert!(
        error
            .to_string()
            .ends_with("nvme0/address is longer than 4096 bytes")
    );
    assert!(matches!(
        whole.fake.sysfs().list(),
        Err(ScanError::TooLong { limit: 4096, .. })
    ));
}

#[test]
fn a_word_that_is_not_utf8_is_an_error() {
    let whole = whole();
    whole
        .fake
        .file(&format!("{}/state", whole.controller), b"li\xffve\n");
    assert!(
        matches!(whole.error(), (path, ScanError::NotUtf8 { .. }) if path.ends_with("nvme0/state"))
    );
    assert!(matches!(
        whole.fake.sysfs().list(),
        Err(ScanError::NotUtf8 { .. })
    ));
}

#[test]
fn a_loop_of_links_is_an_error_with_its_cause() {
    let whole = whole();
    let link = format!("{}/nvme9", whole.subsystem);
    whole.fake.link(&link, "nvme9");
    let (path, error) = whole.error();
    assert!(path.ends_with("nvme-subsys0/nvme9"), "{path}");
    let cause = error.source().expect("a cause").to_string();
    assert!(cause.contains("symbolic links"), "{cause}");
    assert!(matches!(
        whole.fake.sysfs().list(),
        Err(ScanError::Open { .. })
    ));
}

#[test]
fn a_directory_in_place_of_a_file_and_a_file_in_place_of_a_directory_are_errors() {
    let whole = whole();
    whole.fake.remove(&format!("{}/state", whole.controller));
    fs::create_dir(whole.fake.path(&format!("{}/state", whole.controller))).expect("made");
    assert!(
        matches!(whole.error(), (path, ScanError::Read { .. }) if path.ends_with("nvme0/state"))
    );
    let fake = Fake::new();
    fake.file("sys/class/nvme-subsystem/nvme-subsys0", "");
    assert!(matches!(fake.sysfs().scan(), Err(ScanError::Open { .. })));
    assert!(matches!(fake.sysfs().list(), Err(ScanError::Open { .. })));
}
