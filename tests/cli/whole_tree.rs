//! `list-subsys` with a device, and `--tree`, which gives programs what people get.

use serde_json::{Value, json};

use crate::common::{captured, run, write};

fn whole(root: &std::path::Path, more: &[&str]) -> Value {
    let arguments = [&["list-subsys", "-o", "json", "--tree"], more].concat();
    let listed = run(root, &arguments).expect(0);
    serde_json::from_str(&listed.out).expect("JSON")
}

#[test]
fn programs_get_disks_paths_access_states_and_sizes() {
    for kernel in ["bookworm", "trixie", "sid"] {
        let root = captured(&format!("{kernel}-two-paths-ana"));
        let tree = whole(root.path(), &[]);
        let subsystem = &tree["subsystems"][0];
        assert_eq!(subsystem["name"], "nvme-subsys0");
        assert_eq!(subsystem["nqn"], "nqn.2026-01.org.example:volume-1");
        assert_eq!(subsystem["iopolicy"], "numa");
        let controller = &subsystem["controllers"][1];
        assert_eq!(
            (&controller["name"], &controller["state"]),
            (&json!("nvme1"), &json!("live"))
        );
        let disk = &subsystem["disks"][0];
        assert_eq!(disk["uuid"], "11111111-1111-4111-8111-111111111111");
        assert_eq!(disk["size_bytes"], 67_108_864);
        let paths = json!([
            {"controller": "nvme0", "usable": true, "ana": "optimized"},
            {"controller": "nvme1", "usable": false, "ana": "inaccessible"},
        ]);
        assert_eq!(disk["paths"], paths, "{kernel}");
        assert_eq!(disk["volumes"], json!([]));
        for rest in ["unattached", "volumes", "unknown"] {
            assert_eq!(tree[rest], json!([]), "{rest}");
        }
    }
}

#[test]
fn a_path_through_a_controller_that_is_not_live_is_not_usable() {
    let root = captured("trixie-connecting");
    let tree = whole(root.path(), &[]);
    let paths = &tree["subsystems"][0]["disks"][0]["paths"];
    assert_eq!(paths[0]["usable"], false, "{tree}");
}

#[test]
fn what_is_unknown_is_part_of_the_tree() {
    let root = captured("trixie-one-path");
    write(root.path(), "sys/class/nvme/nvme0/cntlid", "many\n");
    let tree = whole(root.path(), &[]);
    let unknown = tree["unknown"][0].as_str().expect("a text");
    assert!(unknown.contains("nvme0/cntlid is \"many\""), "{unknown}");
}

#[test]
fn a_device_by_any_of_its_names_leaves_only_its_subsystem() {
    let root = captured("trixie-one-path");
    let other = "sys/class/nvme-subsystem/nvme-subsys7/subsysnqn";
    write(root.path(), other, "nqn.2026-01.org.example:other\n");
    assert_eq!(
        whole(root.path(), &[])["subsystems"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    for device in ["nvme0n1", "/dev/nvme0n1", "nvme0", "nvme-subsys0"] {
        let tree = whole(root.path(), &[device]);
        let names = tree["subsystems"].as_array().expect("a list");
        assert_eq!(names.len(), 1, "{device}");
        assert_eq!(names[0]["name"], "nvme-subsys0");
        let people = run(root.path(), &["list-subsys", device]).expect(0);
        assert!(!people.out.contains("nvme-subsys7"), "{}", people.out);
        let hosts = run(root.path(), &["list-subsys", "-o", "json", device]).expect(0);
        let hosts: Value = serde_json::from_str(&hosts.out).expect("JSON");
        assert_eq!(hosts[0]["Subsystems"][0]["Name"], "nvme-subsys0");
    }
    run(root.path(), &["list-subsys", "nvme9n1"])
        .expect(3)
        .says(&["there is no NVMe device nvme9n1"]);
}
