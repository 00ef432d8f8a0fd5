//! What `list-subsys` and `doctor` tell of the volumes of the node plugin.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Run, captured, run, write};

const BOOT: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";
const NQN: &str = "nqn.2026-01.org.example:volume-1";
const UUID: &str = "11111111-1111-4111-8111-111111111111";

/// A captured machine on which a raw block volume with this UUID is staged without a hold.
fn staged(capture: &str, uuid: &str) -> TempDir {
    let root = captured(capture);
    write(
        root.path(),
        "proc/sys/kernel/random/boot_id",
        format!("{BOOT}\n"),
    );
    write(root.path(), "proc/self/mountinfo", "");
    let size = fs::read_to_string(root.path().join("sys/block/nvme0n1/size"));
    let sectors: u64 = size.map_or(131_072, |text| text.trim().parse().expect("a number"));
    let record = include_str!("volumes/record.json")
        .replace("BOOT", BOOT)
        .replace("UUID", uuid)
        .replace("\"SIZE\"", &(sectors * 512).to_string());
    write(root.path(), "state/volumes/pvc-1/record.json", record);
    root
}

fn list(root: &Path, verb: &str, more: &[&str]) -> Run {
    let state = root.join("state").display().to_string();
    let arguments = [&[verb, "--state-dir", &state], more].concat();
    run(root, &arguments)
}

fn volumes(root: &Path) -> Value {
    let listed = list(root, "list-subsys", &["-o", "json"]).expect(0);
    let hosts: Value = serde_json::from_str(&listed.out).expect("JSON");
    hosts[0]["Volumes"].clone()
}

#[test]
fn a_volume_stands_under_its_namespace() {
    let root = staged("trixie-one-path", UUID);
    let listed = list(root.path(), "list-subsys", &[]).expect(0);
    let expected = "    via nvme0 optimized\n    volume pvc-1 not held\n";
    assert!(listed.out.ends_with(expected), "{}", listed.out);
    let volumes = volumes(root.path());
    let volume = &volumes[0];
    assert_eq!(volume["VolumeID"], "pvc-1");
    assert_eq!(volume["NQN"], NQN);
    assert_eq!(volume["Hold"], "none");
    // What is absent is there as null.
    assert_eq!(volume.get("Map"), Some(&Value::Null));
    assert_eq!(volume["Device"], "nvme0n1");
    assert_eq!(volume["UsablePaths"], 1);
    assert_eq!(volume["Findings"], Value::Array(Vec::new()));
}

#[test]
fn a_loss_is_told_by_both_verbs() {
    let root = staged("trixie-connecting", UUID);
    let listed = list(root.path(), "list-subsys", &[]).expect(0);
    assert!(
        listed.out.contains("volume pvc-1 not held, no path\n"),
        "{}",
        listed.out
    );
    assert!(
        listed.out.contains("  NoPath: no path to "),
        "{}",
        listed.out
    );
    let volumes = volumes(root.path());
    assert_eq!(volumes[0]["UsablePaths"], 0);
    assert_eq!(volumes[0]["Findings"][0]["Reason"], "NoPath");
    let doctor = list(root.path(), "doctor", &[]).expect(1);
    let finding = "FAIL    volumes: pvc-1 (not held, no path): NoPath: ";
    assert!(doctor.out.contains(finding), "{}", doctor.out);
}

#[test]
fn another_namespace_is_told_by_both_verbs() {
    let root = staged("trixie-one-path", "22222222-2222-4222-8222-222222222222");
    let listed = list(root.path(), "list-subsys", &[]).expect(0);
    assert!(
        listed.out.contains("    IdentityMismatch: "),
        "{}",
        listed.out
    );
    let doctor = list(root.path(), "doctor", &[]).expect(1);
    assert!(doctor.out.contains("IdentityMismatch: "), "{}", doctor.out);
    assert!(
        doctor.out.contains("the other one is not touched"),
        "{}",
        doctor.out
    );
}

#[test]
fn without_any_controller_the_volumes_are_still_listed() {
    let root = staged("sid-held", UUID);
    assert_eq!(volumes(root.path())[0]["VolumeID"], "pvc-1");
}

#[test]
fn a_record_that_cannot_be_read_keeps_nothing_else_from_being_listed() {
    let root = staged("trixie-one-path", UUID);
    write(root.path(), "state/volumes/pvc-1/record.json", "{");
    let listed = list(root.path(), "list-subsys", &[]).expect(0);
    let listed = listed.says(&["volumes are missing in the list", "record.json"]);
    assert!(listed.out.contains("nvme0n1"), "{}", listed.out);
    let doctor = list(root.path(), "doctor", &[]);
    assert!(doctor.out.contains("unknown volumes: "), "{}", doctor.out);
}

/// A volume that was to have a map where one is possible, and has none; its controller, which nobody owns, carries
/// another disk.
fn stepped_down(uuid: &str) -> TempDir {
    let root = staged("trixie-two-namespaces", uuid);
    let record = root.path().join("state/volumes/pvc-1/record.json");
    let text = fs::read_to_string(&record).expect("a record");
    let auto = text.replacen("\"hold\": \"none\"", "\"hold\": \"auto\"", 1);
    fs::write(&record, auto).expect("a record");
    for module in ["dm_multipath", "dm_round_robin"] {
        fs::create_dir_all(root.path().join("sys/module").join(module)).expect("a module");
    }
    let mapper = root.path().join("dev/mapper");
    fs::create_dir_all(&mapper).expect("a directory");
    symlink("/dev/null", mapper.join("control")).expect("a device");
    // Of the first PID namespace, in which all processes are seen.
    let namespaces = root.path().join("proc/self/ns");
    fs::create_dir_all(&namespaces).expect("a directory");
    symlink("pid:[4026531836]", namespaces.join("pid")).expect("a link");
    root
}

#[test]
fn both_verbs_say_why_a_volume_has_no_map_that_was_to_have_one() {
    let root = stepped_down(UUID);
    let holder = "sys/block/nvme0n1/holders/md7";
    let spared =
        "nvme0 carries its disk and outlives a loss: somebody else uses another disk behind it";
    let passed = "what kept it from a map has passed; it gets one when it is staged anew";
    for (is_used, why) in [(true, spared), (false, passed)] {
        let holder = root.path().join(holder);
        match is_used {
            true => fs::create_dir_all(&holder).expect("a holder"),
            false => fs::remove_dir(&holder).expect("no holder"),
        }
        let finding = volumes(root.path())[0]["Findings"][0].clone();
        assert_eq!(finding["Reason"], "NotHeld", "{finding}");
        let message = finding["Message"].as_str().expect("words").to_owned();
        assert!(message.contains(why), "{message}");
        let doctor = list(root.path(), "doctor", &[]);
        let line = format!("warn    volumes: pvc-1 (not held): NotHeld: {message}");
        assert!(doctor.out.contains(&line), "{}", doctor.out);
        let listed = list(root.path(), "list-subsys", &[]).expect(0);
        assert!(listed.out.contains(why), "{}", listed.out);
    }
}

#[test]
fn a_volume_that_asked_for_no_map_or_cannot_have_one_is_not_told_as_not_held() {
    let root = stepped_down(UUID);
    fs::remove_dir(root.path().join("sys/module/dm_multipath")).expect("a module");
    let findings = |root: &Path| volumes(root)[0]["Findings"].clone();
    assert_eq!(findings(root.path()), Value::Array(Vec::new()));
}
#[test]
fn a_record_that_cannot_be_read_hides_no_other_volume() {
    let root = staged("trixie-one-path", UUID);
    write(root.path(), "state/volumes/pvc-2/record.json", "{");
    assert_eq!(volumes(root.path())[0]["VolumeID"], "pvc-1");
    let doctor = list(root.path(), "doctor", &[]);
    assert!(doctor.out.contains("volumes: pvc-1 "), "{}", doctor.out);
    assert!(doctor.out.contains("unknown volumes: "), "{}", doctor.out);
}

#[test]
fn the_volumes_of_every_driver_below_kubelets_directory_are_found() {
    let root = staged("trixie-one-path", UUID);
    let plugins = root.path().join("kubelet/plugins");
    fs::create_dir_all(plugins.join("other.csi")).expect("a directory");
    fs::rename(root.path().join("state"), plugins.join("other.csi/state")).expect("moved");
    fs::create_dir_all(plugins.join("direct.nvmeof.csi/state/volumes")).expect("a directory");
    let kubelet = root.path().join("kubelet").display().to_string();
    for verb in ["list-subsys", "doctor"] {
        let found = run(root.path(), &[verb, "--kubelet-dir", &kubelet]);
        assert!(found.out.contains("pvc-1"), "{}", found.out);
    }
}

#[test]
fn a_volume_whose_subsystem_cannot_be_read_in_full_hides_no_other() {
    const OTHER: &str = "nqn.2026-01.org.example:other";
    let root = staged("trixie-one-path", UUID);
    let record = fs::read_to_string(root.path().join("state/volumes/pvc-1/record.json"));
    let record = record.expect("a record").replace("pvc-1", "pvc-2");
    let record = record.replace(NQN, OTHER);
    write(root.path(), "state/volumes/pvc-2/record.json", record);
    let other = "sys/class/nvme-subsystem/nvme-subsys7";
    write(
        root.path(),
        &format!("{other}/subsysnqn"),
        format!("{OTHER}\n"),
    );
    write(root.path(), &format!("{other}/iopolicy"), b"\xff\n");
    let listed = list(root.path(), "list-subsys", &[]).expect(0);
    let listed = listed.says(&["pvc-2", "nvme-subsys7/iopolicy is not UTF-8"]);
    assert!(
        listed.out.contains("volume pvc-1 not held"),
        "{}",
        listed.out
    );
    assert!(
        !listed.out.contains("pvc-2"),
        "neither well nor ill: {}",
        listed.out
    );
}

#[test]
fn a_release_does_not_claim_to_be_whole_while_a_record_cannot_be_read() {
    let root = staged("trixie-one-path", UUID);
    let released = list(root.path(), "release", &["--nqn", NQN]).expect(0);
    assert_eq!(released.out, "nothing was held\n");
    write(root.path(), "state/volumes/pvc-2/record.json", "{");
    list(root.path(), "release", &["--nqn", NQN])
        .expect(1)
        .says(&[
            "pvc-2",
            "cannot tell whether a map of the subsystem is left",
        ]);
    let released = list(root.path(), "release", &["--all"]).expect(0);
    assert_eq!(
        released.out, "nothing was held\n",
        "all maps are known by device-mapper"
    );
}

#[test]
fn a_volume_beside_one_without_a_map_is_told_what_to_do_about_both_or_nothing() {
    const OTHER: &str = "22222222-2222-4222-8222-222222222222";
    let root = stepped_down(UUID);
    let record = fs::read_to_string(root.path().join("state/volumes/pvc-1/record.json"));
    let record = record.expect("a record").replace("pvc-1", "pvc-2");
    let beside = |identifier: &str| {
        let record = record.replace(&format!("\"{UUID}\""), identifier);
        write(root.path(), "state/volumes/pvc-2/record.json", record);
        let findings = volumes(root.path())[0]["Findings"].clone();
        let messages = findings.as_array().expect("a list").iter();
        let messages = messages.map(|it| it["Message"].as_str().expect("words").to_owned());
        messages.collect::<Vec<String>>().join("; ")
    };
    let both = "pvc-2 of the same subsystem has no map; both get one when both are staged anew";
    let message = beside(&format!("\"{OTHER}\""));
    assert!(message.ends_with(both), "{message}");
    assert_eq!(beside("null"), "", "pvc-2 can never have one");
}
