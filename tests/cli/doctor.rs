//! `doctor`: every check has a status and, unless it is good, something to do.

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
