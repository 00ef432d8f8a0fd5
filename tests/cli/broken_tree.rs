//! A sysfs that is truncated, garbage or a trap: a clear error that names the file, or the truth
//! without it; never a panic, never a hang.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::common::{captured, read, run};

const NQN: &str = "nqn.2026-01.org.example:volume-1";
const NSUBSYS: &str = "sys/class/nvme-subsystem/nvme-subsys0";

const VERBS: [&[&str]; 5] = [
    &["list-subsys"],
    &["list-subsys", "-o", "json"],
    &["resolve", "--nqn", NQN],
    &["doctor"],
    &["disconnect", "--nqn", NQN, "--timeout", "1"],
];

/// The attributes of the controller, the subsystem, the head and the path of a captured tree.
fn attributes(root: &Path) -> Vec<PathBuf> {
    let directories = [
        "sys/class/nvme/nvme0",
        NSUBSYS,
        "sys/block/nvme0n1",
        "sys/class/nvme/nvme0/nvme0c0n1",
    ];
    let mut files = Vec::new();
    for directory in directories {
        for entry in fs::read_dir(root.join(directory)).expect("a directory") {
            let entry = entry.expect("an entry");
            let name = entry.file_name();
            // The disconnect's own file: what it wrote would look like an attribute.
            if entry.file_type().expect("a type").is_file() && name != "delete_controller" {
                files.push(Path::new(directory).join(name));
            }
        }
    }
    assert!(files.len() > 60, "{files:?}");
    files
}

/// Runs every verb; fails if one ends otherwise than by an exit code of the contract.
fn run_all(root: &Path, what: &Path) {
    for arguments in VERBS {
        let run = run(root, arguments);
        assert!(
            matches!(run.code, Some(0 | 1 | 3 | 4 | 5)),
            "{}: {arguments:?}: {run:#?}",
            what.display()
        );
        if run.code == Some(1) && arguments[0] != "doctor" {
            let name = what
                .file_name()
                .and_then(|name| name.to_str())
                .expect("a name");
            assert!(
                run.err.contains(name),
                "{arguments:?} does not name {name}: {}",
                run.err
            );
        }
    }
}

fn break_each(content: &[u8]) {
    let root = captured("trixie-one-path");
    for file in attributes(root.path()) {
        let path = root.path().join(&file);
        let before = fs::read(&path).expect("a file");
        fs::write(&path, content).expect("a file");
        run_all(root.path(), &file);
        fs::write(&path, before).expect("a file");
    }
}

#[test]
fn an_attribute_may_be_empty() {
    break_each(b"");
}

#[test]
fn an_attribute_may_be_garbage() {
    break_each(b"\xff\xfe,\0\n\n-1 0x\x1b[31m");
}

#[test]
fn an_attribute_may_be_a_mebibyte_long() {
    break_each(&vec![b'7'; 1 << 20]);
}

#[test]
fn a_garbage_state_or_identifier_is_named_with_its_file() {
    let root = captured("trixie-one-path");
    for file in [
        "sys/block/nvme0n1/size",
        "sys/block/nvme0n1/dev",
        "sys/block/nvme0n1/uuid",
    ] {
        let before = read(root.path(), file);
        fs::write(root.path().join(file), "garbage\n").expect("a file");
        let name = file.rsplit('/').next().expect("a name");
        run(root.path(), &["resolve", "--nqn", NQN])
            .expect(1)
            .says(&[&format!("nvme0n1/{name}"), "garbage"]);
        fs::write(root.path().join(file), before).expect("a file");
    }
}

/// Puts another link in place of the one at `path`.
fn relink(path: &Path, target: &Path) {
    fs::remove_file(path).expect("a link");
    symlink(target, path).expect("a link");
}

#[test]
fn a_link_that_leads_to_itself_is_told_and_hides_nothing_else() {
    for link in [NSUBSYS, "sys/class/nvme-subsystem/nvme-subsys0/nvme0"] {
        let root = captured("trixie-one-path");
        let path = root.path().join(link);
        relink(&path, &path);
        let name = link.rsplit('/').next().expect("a name");
        for arguments in [&VERBS[0], &VERBS[1]] {
            run(root.path(), arguments).expect(0).says(&[name]);
        }
        let people = run(root.path(), VERBS[0]);
        assert!(people.out.contains(name), "{}", people.out);
        let doctor = run(root.path(), &["doctor"]);
        assert!(doctor.out.contains("unknown sysfs: "), "{}", doctor.out);
    }
}

#[test]
fn a_controller_that_is_gone_and_still_linked_is_no_error() {
    let root = captured("trixie-one-path");
    let gone = root
        .path()
        .join("sys/devices/virtual/nvme-fabrics/ctl/nvme0");
    fs::rename(&gone, root.path().join("gone")).expect("rename");
    let run = run(root.path(), &["list-subsys", "-o", "json"]).expect(0);
    assert_eq!(run.out, "[]\n");
}

#[test]
fn a_directory_in_place_of_an_attribute_is_named() {
    let root = captured("trixie-one-path");
    let path = root.path().join("sys/class/nvme/nvme0/state");
    fs::remove_file(&path).expect("a file");
    fs::create_dir(&path).expect("a directory");
    for arguments in [&VERBS[0], &VERBS[1]] {
        let run = run(root.path(), arguments).expect(0).says(&["nvme0/state"]);
        let rest = ["nvme0", "unknown", NQN];
        assert!(rest.iter().all(|it| run.out.contains(it)), "{}", run.out);
    }
}

#[test]
fn a_garbage_value_of_one_subsystem_keeps_nobody_from_another() {
    let root = captured("trixie-one-path");
    let other = root.path().join("sys/class/nvme-subsystem/nvme-subsys7");
    fs::create_dir_all(&other).expect("a directory");
    fs::write(other.join("subsysnqn"), "nqn.2026-01.org.example:other\n").expect("a file");
    fs::write(other.join("iopolicy"), b"\xff\n").expect("a file");
    let listed = run(root.path(), &["list-subsys"]).expect(0);
    let listed = listed.says(&["nvme-subsys7/iopolicy is not UTF-8"]);
    assert_eq!(listed.err.lines().count(), 1, "told once: {}", listed.err);
    let found = run(root.path(), &["resolve", "--nqn", NQN]).expect(0);
    assert_eq!(found.err, "");
}
