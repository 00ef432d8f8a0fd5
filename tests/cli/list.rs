//! `list`: the disks of this host, and `gen-hostnqn`.

use serde_json::Value;

use crate::common::{captured, empty, run, write};

const UUID: &str = "11111111-1111-4111-8111-111111111111";

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_disk_is_told_with_all_that_it_is() {
    for kernel in ["bookworm", "trixie", "sid"] {
        let root = captured(&format!("{kernel}-two-paths-ana"));
        let disks = json(&run(root.path(), &["list", "-o", "json"]).expect(0).out);
        assert_eq!(disks.as_array().map(Vec::len), Some(1), "{disks}");
        let disk = &disks[0];
        let node = root.path().join("dev/nvme0n1");
        assert_eq!(disk["device"], node.to_str().expect("UTF-8"));
        assert_eq!(disk["nqn"], "nqn.2026-01.org.example:volume-1");
        assert_eq!(disk["model"], "Linux");
        assert_eq!((&disk["nsid"], &disk["uuid"]), (&1.into(), &UUID.into()));
        assert_eq!(disk["size_bytes"], 67_108_864);
        assert_eq!(disk["read_only"], false);
        assert_eq!(disk["controllers"], serde_json::json!(["nvme0", "nvme1"]));
        assert_eq!(disk["unknown"], serde_json::json!([]));
        for field in ["serial", "firmware", "block_bytes", "nguid", "eui64"] {
            assert!(disk.get(field).is_some(), "{field} is not in {disk}");
        }
    }
}

#[test]
fn people_see_a_line_for_each_disk_local_ones_too() {
    let root = captured("trixie-pcie");
    let listed = run(root.path(), &["list"]).expect(0);
    let dev = root.path().join("dev").display().to_string();
    let drive = "16 MiB 512 B \"QEMU NVMe Ctrl\" serial lab-pcie-0 nsid 1";
    let remote = "64 MiB 4096 B \"Linux\" serial lab-serial-1 nsid 1";
    let expected = format!("{dev}/nvme0n1 {drive}\n{dev}/nvme1n1 {remote} uuid {UUID}\n");
    assert_eq!(listed.out, expected);
    assert_eq!(listed.err, "");
    let none = run(empty().path(), &["list"]).expect(0);
    assert_eq!(none.out, "no NVMe disks\n");
    let none = run(empty().path(), &["list", "-o", "json"]).expect(0);
    assert_eq!(none.out, "[]\n");
}

#[test]
fn what_is_unknown_of_a_disk_stands_beside_it() {
    let root = captured("trixie-one-path");
    write(root.path(), "sys/block/nvme0n1/uuid", "1234\n");
    let listed = run(root.path(), &["list"])
        .expect(0)
        .says(&["nvme0n1/uuid"]);
    assert!(listed.out.contains("  unknown: "), "{}", listed.out);
    let disks = json(&run(root.path(), &["list", "-o", "json"]).expect(0).out);
    let unknown = disks[0]["unknown"][0].as_str().expect("a text");
    assert!(unknown.contains("nvme0n1/uuid is \"1234\""), "{unknown}");
    assert_eq!(disks[0]["uuid"], Value::Null);
}

#[test]
fn a_generated_name_is_the_firmwares_or_new_each_time_and_is_stored_nowhere() {
    let root = empty();
    let generate = || {
        let made = run(root.path(), &["gen-hostnqn", "-o", "json"]).expect(0);
        let made = json(&made.out);
        let hostid = made["hostid"].as_str().expect("a UUID").to_owned();
        let hostnqn = format!("nqn.2014-08.org.nvmexpress:uuid:{hostid}");
        assert_eq!(made["hostnqn"], hostnqn.as_str());
        hostid
    };
    assert_ne!(generate(), generate());
    assert!(!root.path().join("etc").exists());
    write(
        root.path(),
        "sys/class/dmi/id/product_uuid",
        format!("{UUID}\n"),
    );
    assert_eq!(generate(), UUID);
    let line = run(root.path(), &["gen-hostnqn"]).expect(0).out;
    assert_eq!(line, format!("nqn.2014-08.org.nvmexpress:uuid:{UUID}\n"));
}
