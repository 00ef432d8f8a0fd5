//! `resolve`: NQN and identity in, device out.

use std::fs;

use crate::common::{captured, run, write};

const NQN: &str = "nqn.2026-01.org.example:volume-1";
const UUID: &str = "11111111-1111-4111-8111-111111111111";

#[test]
fn the_only_namespace_needs_no_name() {
    for kernel in ["bookworm", "trixie", "sid"] {
        let root = captured(&format!("{kernel}-one-path"));
        let run = run(root.path(), &["resolve", "--nqn", NQN]).expect(0);
        let device = root.path().join("dev/nvme0n1");
        assert_eq!(run.out, format!("{}\n", device.display()), "{kernel}");
    }
}

/// The disks are numbered by the kernel: on trixie's in the other order than the namespaces.
#[test]
fn one_of_several_is_found_by_number_or_uuid() {
    for (kernel, first, seventh) in [
        ("bookworm", "nvme0n1", "nvme0n2"),
        ("trixie", "nvme0n2", "nvme0n1"),
        ("sid", "nvme0n1", "nvme0n2"),
    ] {
        let root = captured(&format!("{kernel}-two-namespaces"));
        for (which, disk) in [(["--nsid", "7"], seventh), (["--uuid", UUID], first)] {
            let arguments = [&["resolve", "--nqn", NQN], &which[..]].concat();
            let run = run(root.path(), &arguments).expect(0);
            let device = root.path().join("dev").join(disk);
            assert_eq!(run.out, format!("{}\n", device.display()), "{kernel}");
        }
    }
}

#[test]
fn one_of_several_is_found_by_the_other_identifiers_in_the_spellings_that_people_copy() {
    let root = captured("trixie-two-namespaces");
    let disk = "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1";
    let nguid = "00000000-0000-0000-0042-aa42aa42aa42";
    write(root.path(), &format!("{disk}/nguid"), format!("{nguid}\n"));
    write(
        root.path(),
        &format!("{disk}/eui"),
        "00 25 38 5b 71 b0 0a 1c\n",
    );
    for which in [
        ["--nguid", nguid],
        ["--nguid", "eui.00000000000000000042AA42AA42AA42"],
        ["--eui64", "0025385b71b00a1c"],
        ["--eui64", "eui.0025385b71b00a1c"],
    ] {
        let arguments = [&["resolve", "--nqn", NQN], &which[..]].concat();
        let run = run(root.path(), &arguments).expect(0);
        let device = root.path().join("dev/nvme0n1");
        assert_eq!(run.out, format!("{}\n", device.display()), "{which:?}");
    }
}

#[test]
fn several_without_a_choice_are_an_error_that_says_how_to_choose() {
    let root = captured("trixie-two-namespaces");
    let run = run(root.path(), &["resolve", "--nqn", NQN]).expect(1);
    assert_eq!(run.out, "");
    run.says(&[
        "nvme0n1", "nvme0n2", "--uuid", "--nguid", "--eui64", "--nsid",
    ]);
}

#[test]
fn json_has_every_identifier() {
    let root = captured("trixie-one-path");
    let run = run(root.path(), &["resolve", "--nqn", NQN, "-o", "json"]).expect(0);
    let value: serde_json::Value = serde_json::from_str(&run.out).expect("JSON");
    assert_eq!(value["uuid"], UUID);
    assert_eq!(value["nsid"], 1);
    assert_eq!(value["size_bytes"], 67_108_864);
    assert!(
        value["device"]
            .as_str()
            .is_some_and(|path| path.ends_with("/dev/nvme0n1"))
    );
}

#[test]
fn a_namespace_whose_nguid_is_its_uuid_is_found_by_either() {
    let root = captured("trixie-one-path");
    write(root.path(), "sys/block/nvme0n1/nguid", format!("{UUID}\n"));
    let nguid = UUID.replace('-', "");
    for which in [["--uuid", UUID], ["--nguid", &nguid], ["--nguid", UUID]] {
        let arguments = [&["resolve", "--nqn", NQN, "-o", "json"], &which[..]].concat();
        let run = run(root.path(), &arguments).expect(0);
        let value: serde_json::Value = serde_json::from_str(&run.out).expect("JSON");
        assert_eq!(
            (&value["uuid"], &value["nguid"]),
            (&UUID.into(), &nguid.clone().into())
        );
    }
}

#[test]
fn a_namespace_with_an_nguid_alone_is_found_by_what_the_kernel_shows_as_its_uuid() {
    let root = captured("trixie-one-path");
    let nguid = UUID.replace('-', "");
    write(root.path(), "sys/block/nvme0n1/nguid", format!("{UUID}\n"));
    write(
        root.path(),
        "sys/block/nvme0n1/wwid",
        format!("eui.{nguid}\n"),
    );
    let found = run(
        root.path(),
        &["resolve", "--nqn", NQN, "--uuid", UUID, "-o", "json"],
    );
    let value: serde_json::Value = serde_json::from_str(&found.expect(0).out).expect("JSON");
    assert_eq!(
        (&value["uuid"], &value["nguid"]),
        (&serde_json::Value::Null, &nguid.into())
    );
}

#[test]
fn a_number_that_the_kernel_prints_with_a_sign_is_found_as_the_number_it_is() {
    let root = captured("trixie-one-path");
    write(root.path(), "sys/block/nvme0n1/nsid", "-2\n");
    let found = run(
        root.path(),
        &["resolve", "--nqn", NQN, "--nsid", "4294967294"],
    )
    .expect(0);
    assert!(found.out.ends_with("/dev/nvme0n1\n"), "{}", found.out);
}

#[test]
fn what_is_not_there_is_not_found() {
    let root = captured("trixie-one-path");
    let other = "nqn.2026-01.org.example:volume-9";
    run(root.path(), &["resolve", "--nqn", other])
        .expect(3)
        .says(&[other]);
    run(root.path(), &["resolve", "--nqn", NQN, "--nsid", "9"])
        .expect(3)
        .says(&["number 9"]);
    // A part of an NQN is another NQN.
    run(
        root.path(),
        &["resolve", "--nqn", "nqn.2026-01.org.example:volume-"],
    )
    .expect(3);
}

#[test]
fn an_orphan_has_no_device() {
    let root = captured("trixie-orphan");
    run(root.path(), &["resolve", "--nqn", NQN])
        .expect(3)
        .says(&["has no namespace"]);
}

#[test]
fn without_multipath_one_of_the_disks_is_found_and_never_a_path() {
    for kernel in ["bookworm", "trixie", "sid"] {
        let root = captured(&format!("{kernel}-multipath-off"));
        let run = run(root.path(), &["resolve", "--nqn", NQN]).expect(0);
        let name = run.out.trim().rsplit('/').next().expect("a name");
        assert!(
            ["nvme0n1", "nvme1n1"].contains(&name),
            "{kernel}: {}",
            run.out
        );
    }
}

#[test]
fn a_file_under_the_name_of_the_device_is_refused() {
    let root = captured("trixie-one-path");
    write(root.path(), "dev/nvme0n1", "");
    let run = run(root.path(), &["resolve", "--nqn", NQN]).expect(1);
    assert_eq!(run.out, "");
    run.says(&["dev/nvme0n1 is not a block device"]);
}

#[test]
fn a_link_to_another_device_is_refused() {
    let root = captured("trixie-one-path");
    fs::create_dir_all(root.path().join("dev")).expect("directory");
    std::os::unix::fs::symlink("/dev/null", root.path().join("dev/nvme0n1")).expect("link");
    run(root.path(), &["resolve", "--nqn", NQN])
        .expect(1)
        .says(&["not a block device"]);
}
