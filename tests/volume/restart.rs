//! What a restart of the program, a reboot and another release make of the records.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nvmeof_csi::volume::request::Secrets;
use nvmeof_csi::volume::{PublishError, StageError};

use crate::machine::Machine;
use crate::requests::{block, ext4, publish, stage, unpublish, unstage};

const SECRET: &str = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";

#[test]
fn a_restarted_program_knows_what_was_staged_and_published() {
    let machine = Machine::new("trixie-one-path");
    let staged = stage(&machine, ext4());
    machine.volumes().stage(&staged).expect("staged");
    let published = publish(&staged, &machine.target("pod"));
    machine.volumes().publish(&published).expect("published");
    machine
        .volumes()
        .publish(&published)
        .expect("published already");
    machine.volumes().stage(&staged).expect("staged already");
    machine
        .volumes()
        .unpublish(&unpublish(&published))
        .expect("unpublished");
    machine
        .volumes()
        .unstage(&unstage(&staged))
        .expect("unstaged");
    assert!(machine.state_files().is_empty());
    assert!(machine.host.connected().is_empty());
}

#[test]
fn a_new_plugin_asks_for_the_controllers_that_nobody_owns() {
    let machine = Machine::new("trixie-one-path");
    let staged = stage(&machine, ext4());
    machine.volumes().stage(&staged).expect("staged");
    machine.host.take_log();
    let owner = machine.root().join("run/nvme/registry/nvme0/owner");
    let claim = || {
        let claimed = machine.volumes().paths().claim_left_behind();
        claimed.expect("a look");
        machine.host.take_log()
    };
    assert!(claim().is_empty(), "it is ours");
    fs::write(&owner, "somebody\n").expect("an owner");
    assert!(claim().is_empty(), "it is somebody's");
    fs::remove_file(&owner).expect("no owner");
    assert_eq!(claim(), ["connect 4420"]);
}

#[test]
fn after_a_reboot_nothing_counts_as_staged() {
    let machine = Machine::new("trixie-one-path");
    let staged = stage(&machine, ext4());
    machine.volumes().stage(&staged).expect("staged");
    machine.boot("cccccccc-cccc-4ccc-8ccc-cccccccccccc");
    let volumes = machine.volumes();
    assert!(machine.state_files().is_empty());
    let error = volumes
        .publish(&publish(&staged, &machine.target("pod")))
        .expect_err("not staged in this boot");
    assert!(matches!(error, PublishError::NotStaged { .. }), "{error}");
    machine.host.take_log();
    volumes.stage(&staged).expect("staged again");
    assert_eq!(machine.host.take_log(), ["connect 4420", "mount nvme0n1"]);
}

#[test]
fn secrets_lie_beside_the_record_for_root_alone_and_go_with_it() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let mut staged = stage(&machine, block());
    staged.secrets = Secrets {
        dhchap_secret: Some(SECRET.parse().expect("a secret")),
        dhchap_ctrl_secret: None,
    };
    volumes.stage(&staged).expect("staged");
    let directory = machine.state_dir().join("volumes/volume-1");
    let mode = |path: &std::path::Path| {
        let found = fs::metadata(path).expect("a file");
        found.permissions().mode() & 0o777
    };
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("secrets")), 0o600);
    let secrets = fs::read_to_string(directory.join("secrets")).expect("secrets");
    assert_eq!(secrets, format!("dhchap_secret={SECRET}\n"));
    let record = fs::read_to_string(directory.join("record.json")).expect("a record");
    assert!(!record.contains("DHHC-1"), "{record}");
    staged.secrets = Secrets::default();
    volumes.stage(&staged).expect("staged already");
    assert_eq!(machine.state_files(), ["record.json"]);
    volumes.unstage(&unstage(&staged)).expect("unstaged");
    assert!(!directory.exists());
}

#[test]
fn a_record_of_another_release_or_a_broken_one_is_an_error_for_its_volume() {
    let machine = Machine::new("trixie-one-path");
    let staged = stage(&machine, ext4());
    machine.volumes().stage(&staged).expect("staged");
    let path = machine.state_dir().join("volumes/volume-1/record.json");
    let record = fs::read_to_string(&path).expect("a record");
    let edits: [(&str, &str); 4] = [
        ("\"version\": 1", "\"version\": 2"),
        ("\"phase\"", "\"phases\""),
        ("\"publications\": []", "\"publications\": [], \"extra\": 1"),
        ("\"volume-1\"", "\"volume-2\""),
    ];
    for (from, to) in edits {
        assert!(record.contains(from), "{from} is not in {record}");
        fs::write(&path, record.replacen(from, to, 1)).expect("a record");
        let volumes = machine.volumes();
        let error = volumes.stage(&staged).expect_err(to);
        assert!(matches!(error, StageError::Record(_)), "{to}: {error}");
        volumes.unstage(&unstage(&staged)).expect_err(to);
        assert_eq!(machine.host.connected().len(), 1, "{to}");
    }
    fs::write(&path, &record[..record.len() / 2]).expect("a record");
    machine.volumes().stage(&staged).expect_err("half a record");
}

#[test]
fn a_volume_that_is_being_worked_on_is_busy_and_others_are_not() {
    let machine = Machine::new("trixie-two-namespaces");
    let volumes = machine.volumes();
    let first = stage(&machine, block());
    std::thread::scope(|scope| {
        // The whole host waits while its devices are held, so the first call stops at its connect.
        machine
            .host
            .devices(|_| {
                let running = scope.spawn(|| volumes.stage(&first));
                while machine.state_files().is_empty() {
                    std::thread::yield_now();
                }
                let error = volumes.unstage(&unstage(&first)).expect_err("busy");
                assert!(
                    matches!(error, nvmeof_csi::volume::UnstageError::Busy),
                    "{error}"
                );
                let mut other = unstage(&first);
                other.volume_id = "volume-2".parse().expect("an id");
                other.staging_target_path = machine.kubelet().staging("volume-2");
                volumes.unstage(&other).expect("nothing to do");
                running
            })
            .join()
            .expect("no panic")
            .expect("staged");
    });
}

#[test]
fn a_broken_record_of_another_volume_stops_no_volume_and_keeps_its_controllers() {
    let machine = Machine::new("trixie-one-path");
    let volumes = machine.volumes();
    let broken = machine.state_dir().join("volumes/volume-2");
    fs::create_dir_all(&broken).expect("a directory");
    fs::write(broken.join("record.json"), "{").expect("a record");
    let staged = stage(&machine, ext4());
    volumes.stage(&staged).expect("staged");
    volumes.unstage(&unstage(&staged)).expect("unstaged");
    assert!(machine.mounts_at(&machine.staging()).is_empty());
    // It may be the one that needs them.
    assert_eq!(machine.host.connected().len(), 1);
}
