//! `list-subsys`: nvme-cli's own text as JSON, a tree for people.

use crate::common::{captured, empty, run, write};

/// What nvme-cli 2.13 prints on the same tree.
const TWO_PATHS: &str = r#"[
  {
    "HostNQN":"nqn.2014-08.org.nvmexpress:uuid:aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa",
    "HostID":"aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa",
    "Subsystems":[
      {
        "Name":"nvme-subsys0",
        "NQN":"nqn.2026-01.org.example:volume-1",
        "Paths":[
          {
            "Name":"nvme0",
            "Transport":"tcp",
            "Address":"traddr=10.0.0.2,trsvcid=4420,src_addr=10.0.0.1",
            "State":"live"
          },
          {
            "Name":"nvme1",
            "Transport":"tcp",
            "Address":"traddr=10.0.0.2,trsvcid=4421,src_addr=10.0.0.1",
            "State":"live"
          }
        ]
      }
    ]
  }
]
"#;

#[test]
fn json_is_nvme_clis_own_text_on_each_kernel() {
    for kernel in ["bookworm", "trixie", "sid"] {
        let root = captured(&format!("{kernel}-two-paths-ana"));
        let run = run(root.path(), &["list-subsys", "-o", "json"]).expect(0);
        assert_eq!(run.out, TWO_PATHS, "{kernel}");
        assert_eq!(run.err, "");
    }
}

#[test]
fn a_loop_controller_has_an_empty_address() {
    let root = captured("trixie-loop");
    let run = run(root.path(), &["list-subsys", "-o", "json"]).expect(0);
    assert!(
        run.out
            .contains("\"Transport\":\"loop\",\n            \"Address\":\"\",\n"),
        "{}",
        run.out
    );
}

#[test]
fn people_see_devices_with_size_identity_and_the_state_of_each_path() {
    let root = captured("trixie-two-paths-ana");
    let run = run(root.path(), &["list-subsys"]).expect(0);
    let expected = "\
nvme-subsys0 nqn.2026-01.org.example:volume-1
  nvme0 tcp traddr=10.0.0.2,trsvcid=4420,src_addr=10.0.0.1 live
  nvme1 tcp traddr=10.0.0.2,trsvcid=4421,src_addr=10.0.0.1 live
  nvme0n1 64 MiB nsid 1 uuid 11111111-1111-4111-8111-111111111111
    via nvme0 optimized
    via nvme1 inaccessible
";
    assert_eq!(run.out, expected);
}

#[test]
fn a_path_through_a_controller_that_is_not_live_is_down_whatever_it_was() {
    for kernel in ["bookworm", "trixie", "sid"] {
        let root = captured(&format!("{kernel}-connecting"));
        let run = run(root.path(), &["list-subsys"]).expect(0);
        let expected = "    via nvme0 down, connecting\n";
        assert!(run.out.contains(expected), "{kernel}: {}", run.out);
        assert!(!run.out.contains("optimized"), "{kernel}: {}", run.out);
    }
}

#[test]
fn a_namespace_is_shown_with_every_identifier_that_it_has() {
    let root = captured("trixie-one-path");
    let disk = "sys/block/nvme0n1";
    let uuid = "11111111-1111-4111-8111-111111111111";
    write(root.path(), &format!("{disk}/nguid"), format!("{uuid}\n"));
    write(
        root.path(),
        &format!("{disk}/eui"),
        "00 25 38 b1 91 b0 2a 3c\n",
    );
    let listed = run(root.path(), &["list-subsys"]).expect(0);
    let nguid = uuid.replace('-', "");
    let expected = format!(" nsid 1 uuid {uuid} nguid {nguid} eui64 002538b191b02a3c\n");
    assert!(listed.out.contains(&expected), "{}", listed.out);
}

#[test]
fn a_head_that_is_held_without_controllers_is_shown_to_people_only() {
    let root = captured("sid-held");
    let human = run(root.path(), &["list-subsys"]).expect(0);
    assert!(human.out.contains("nvme0n1 64 MiB"), "{}", human.out);
    assert!(human.out.contains("no path"), "{}", human.out);
    let json = run(root.path(), &["list-subsys", "-o", "json"]).expect(0);
    assert_eq!(json.out, "[]\n");
}

#[test]
fn a_machine_without_nvme_has_an_empty_list() {
    let root = empty();
    let json = run(root.path(), &["list-subsys", "-o", "json"]).expect(0);
    assert_eq!(json.out, "[]\n");
    let human = run(root.path(), &["list-subsys"]).expect(0);
    assert_eq!(human.out, "no NVMe subsystems\n");
}

#[test]
fn without_sysfs_nothing_is_claimed() {
    let root = tempfile::tempdir().expect("temporary directory");
    let sys = root.path().join("sys").display().to_string();
    for arguments in [&["list-subsys"][..], &["list-subsys", "-o", "json"]] {
        let run = run(root.path(), arguments).expect(1).says(&[&sys]);
        assert_eq!(run.out, "");
    }
}

#[test]
fn a_name_from_a_target_does_not_steer_the_terminal() {
    let root = captured("trixie-one-path");
    let name = "nqn.2026-01.org.example:\u{1b}[2Jvolume\nnvme-subsys9 nqn.forged\n";
    for path in [
        "sys/class/nvme-subsystem/nvme-subsys0/subsysnqn",
        "sys/class/nvme/nvme0/subsysnqn",
    ] {
        write(root.path(), path, name);
    }
    write(
        root.path(),
        "sys/class/nvme/nvme0/state",
        "dead\u{1b}[31m\n",
    );
    let listed = run(root.path(), &["list-subsys"]).expect(0);
    assert!(
        listed
            .out
            .contains(":\\u{1b}[2Jvolume\\nnvme-subsys9 nqn.forged\n"),
        "{}",
        listed.out
    );
    let doctor = run(root.path(), &["doctor"]);
    assert!(doctor.out.contains("dead\\u{1b}[31m"), "{}", doctor.out);
    let target = ["disconnect", "--controller", "nvme0", "--force"];
    let refused = run(root.path(), &target).expect(1);
    for text in [&listed.out, &doctor.out, &refused.err] {
        let steers = |character: char| character.is_control() && character != '\n';
        assert!(!text.contains(steers), "{text:?}");
    }
}
