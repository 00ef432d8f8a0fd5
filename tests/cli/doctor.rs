//! `doctor`: every check has a status and, unless it is good, something to do.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::common::{captured, run, write};

fn checks(root: &std::path::Path, code: i32) -> Vec<Value> {
    let run = run(root, &["doctor", "-o", "json"]).expect(code);
    serde_json::from_str(&run.out).expect("a JSON array")
}

fn find<'a>(checks: &'a [Value], name: &str) -> &'a Value {
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no check called {name} in {checks:#?}"))
}

#[test]
fn every_finding_that_is_not_good_says_what_to_do() {
    let root = captured("trixie-connecting");
    for check in checks(root.path(), 1) {
        let good = check["status"] == "ok";
        assert_eq!(check["what_to_do"].is_null(), good, "{check}");
        assert!(
            check["finding"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{check}"
        );
    }
}

#[test]
fn a_machine_where_nothing_fails_ends_with_zero() {
    let root = captured("trixie-one-path");
    write(root.path(), "sys/module/nvme_fabrics/.keep", "");
    let list = "instance=-1,cntlid=-1,transport=%s,traddr=%s,nqn=%s\n";
    write(root.path(), "dev/nvme-fabrics", list);
    let checks = checks(root.path(), 0);
    assert_eq!(find(&checks, "connect options")["status"], "ok");
    assert_eq!(find(&checks, "controllers")["status"], "ok");
    assert_eq!(find(&checks, "orphans")["status"], "ok");
}

#[test]
fn controllers_that_are_not_live_and_orphans_are_named() {
    let connecting = checks(captured("trixie-connecting").path(), 1);
    let finding = find(&connecting, "controllers")["finding"]
        .as_str()
        .expect("text");
    assert!(
        finding.contains("nvme0") && finding.contains("connecting"),
        "{finding}"
    );
    let orphan = checks(captured("trixie-orphan").path(), 1);
    let finding = find(&orphan, "orphans")["finding"].as_str().expect("text");
    assert!(finding.contains("nvme0"), "{finding}");
}

#[test]
fn every_check_has_a_key_of_its_own_that_stays() {
    let root = captured("trixie-one-path");
    write(root.path(), "sys/block/nvme0n1/uuid", "1234\n");
    write(root.path(), "sys/class/nvme/nvme0/cntlid", "many\n");
    let checks = checks(root.path(), 1);
    let keys: Vec<_> = checks
        .iter()
        .map(|check| check["key"].as_str().expect("a key"))
        .collect();
    let different: BTreeSet<_> = keys.iter().collect();
    assert_eq!(different.len(), keys.len(), "{keys:?}");
    for key in [
        "module/nvme-tcp",
        "host-identity",
        "nvme_core.multipath",
        "maps",
        "volumes",
    ] {
        assert!(keys.contains(&key), "{key} is not in {keys:?}");
    }
    assert!(
        keys.iter().any(|key| key.ends_with("nvme0n1/uuid")),
        "{keys:?}"
    );
}

#[test]
fn multipath_switched_off_is_a_warning() {
    for kernel in ["bookworm", "trixie", "sid"] {
        let checks = checks(captured(&format!("{kernel}-multipath-off")).path(), 1);
        assert_eq!(
            find(&checks, "nvme_core.multipath")["status"],
            "warn",
            "{kernel}"
        );
    }
}

#[test]
fn an_identity_that_conflicts_with_a_controller_is_a_failure() {
    let root = captured("trixie-one-path");
    let hostnqn = "nqn.2014-08.org.nvmexpress:uuid:aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
    write(root.path(), "etc/nvme/hostnqn", format!("{hostnqn}\n"));
    assert_eq!(
        find(&checks(root.path(), 1), "host identity")["status"],
        "ok"
    );
    write(
        root.path(),
        "etc/nvme/hostid",
        "bbbbbbbb-aaaa-4aaa-8aaa-aaaaaaaaaaaa\n",
    );
    let checks = checks(root.path(), 1);
    let check = find(&checks, "host identity");
    assert_eq!(check["status"], "fail");
    let finding = check["finding"].as_str().expect("text");
    assert!(
        finding.contains(hostnqn) && finding.contains("bbbbbbbb-"),
        "{finding}"
    );
}

#[test]
fn firmware_without_a_uuid_is_no_sign_of_a_copied_machine() {
    let root = captured("trixie-one-path");
    let hostnqn = "nqn.2014-08.org.nvmexpress:uuid:aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa\n";
    write(root.path(), "etc/nvme/hostnqn", hostnqn);
    for (uuid, status) in [
        ("ffffffff-ffff-ffff-ffff-ffffffffffff\n", "ok"),
        ("11111111-2222-3333-4444-555555555555\n", "warn"),
    ] {
        write(root.path(), "sys/class/dmi/id/product_uuid", uuid);
        let checks = checks(root.path(), 1);
        assert_eq!(find(&checks, "host identity")["status"], status, "{uuid}");
    }
}

#[test]
fn in_a_container_the_hosts_own_programs_are_looked_at() {
    let root = captured("trixie-one-path");
    let before = checks(root.path(), 1);
    let finding = |checks: &[Value], name| find(checks, name)["finding"].to_string();
    let looked = finding(&before, "host files");
    assert!(looked.contains("programs are looked for in"), "{looked}");
    assert!(!looked.contains("container"), "{looked}");
    assert_eq!(find(&before, "lvm")["status"], "ok");

    let host = tempfile::tempdir().expect("a directory");
    // As many distributions have it: by a link that is meant below the host's root.
    write(host.path(), "opt/lvm2/lvm", "");
    write(host.path(), "usr/sbin/.keep", "");
    symlink("/opt/lvm2/lvm", host.path().join("usr/sbin/lvm")).expect("a link");
    let rule = "lib/udev/rules.d/70-nvmf-autoconnect.rules";
    write(host.path(), rule, "ACTION==\"change\"\n");
    write(root.path(), "proc/1/.keep", "");
    symlink(host.path(), root.path().join("proc/1/root")).expect("a link");
    let after = checks(root.path(), 1);
    let looked = finding(&after, "host files");
    assert!(looked.contains("this is a container"), "{looked}");
    assert!(looked.contains("proc/1/root"), "{looked}");
    assert_eq!(find(&after, "lvm")["status"], "warn");
    let rule = finding(&after, "autoconnect");
    assert!(rule.contains("proc/1/root/lib/udev"), "{rule}");
}

#[test]
fn a_container_that_does_not_see_its_host_says_so() {
    let root = captured("trixie-one-path");
    write(root.path(), "proc/1/ns/.keep", "");
    symlink("1", root.path().join("proc/self")).expect("a link");
    symlink("pid:[4026532000]", root.path().join("proc/1/ns/pid")).expect("a link");
    let checks = checks(root.path(), 1);
    let check = find(&checks, "host files");
    assert_eq!(check["status"], "unknown");
    let finding = check["finding"].as_str().expect("text");
    for words in [
        "this is a container with processes of its own",
        "were not looked at",
    ] {
        assert!(finding.contains(words), "{words:?} in {finding}");
    }
    let is_lvm = |check: &&Value| check["name"] == "lvm";
    assert!(checks.iter().find(is_lvm).is_none(), "the container's own");
}

#[test]
fn people_get_one_line_for_each_finding() {
    let root = captured("trixie-one-path");
    let run = run(root.path(), &["doctor"]).expect(1);
    assert!(
        run.out
            .starts_with("FAIL    module: nvme-fabrics is not loaded"),
        "{}",
        run.out
    );
    assert!(run.out.contains("\nok      orphans: "), "{}", run.out);
}
