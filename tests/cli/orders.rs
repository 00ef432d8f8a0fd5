//! `rescan`, `reset` and `tune`: orders to controllers that are there; and errors for programs.

use std::fs;

use serde_json::{Value, json};

use crate::common::{Run, captured, read, run, write};

const NQN: &str = "nqn.2026-01.org.example:volume-1";
const NVME0: &str = "sys/class/nvme/nvme0";

#[test]
fn every_controller_of_a_subsystem_gets_its_order() {
    for (verb, attribute, done) in [
        ("rescan", "rescan_controller", "looks for namespaces"),
        ("reset", "reset_controller", "was reset"),
    ] {
        let root = captured("trixie-two-paths-ana");
        for number in [0, 1] {
            let path = format!("sys/class/nvme/nvme{number}/{attribute}");
            write(root.path(), &path, "");
        }
        let people = run(root.path(), &[verb, "--nqn", NQN]).expect(0);
        assert_eq!(people.out, format!("nvme0 {done}\nnvme1 {done}\n"));
        for number in [0, 1] {
            let path = format!("sys/class/nvme/nvme{number}/{attribute}");
            assert_eq!(read(root.path(), &path), "1");
        }
        let arguments = [verb, "--controller", "nvme1", "-o", "json"];
        let programs = run(root.path(), &arguments).expect(0);
        let told: Value = serde_json::from_str(&programs.out).expect("JSON");
        assert_eq!(told, json!({"controllers": ["nvme1"]}));
    }
}

#[test]
fn a_drive_of_this_machine_is_not_reset() {
    let root = captured("trixie-pcie");
    let before = read(root.path(), &format!("{NVME0}/state"));
    run(root.path(), &["reset", "--controller", "nvme0"])
        .expect(5)
        .says(&["nvme0 has the transport pcie"]);
    assert_eq!(read(root.path(), &format!("{NVME0}/state")), before);
}

#[test]
fn what_is_reached_by_an_unknown_transport_is_not_reset() {
    let root = captured("trixie-one-path");
    write(root.path(), &format!("{NVME0}/reset_controller"), "");
    write(root.path(), &format!("{NVME0}/transport"), "apple-nvme\n");
    run(root.path(), &["reset", "--controller", "nvme0"])
        .expect(5)
        .says(&["nvme0 has the transport apple-nvme"]);
    assert_eq!(read(root.path(), &format!("{NVME0}/reset_controller")), "");
}

#[test]
fn the_first_failure_is_told_whatever_fails_after_it() {
    let root = captured("trixie-one-path");
    // Gone, so that the policy cannot be set either.
    let policy = "sys/class/nvme-subsystem/nvme-subsys0/iopolicy";
    std::fs::remove_file(root.path().join(policy)).expect("a file");
    // A plain file keeps the -1 that the kernel would show as "off".
    let arguments = [
        "tune",
        "--nqn",
        NQN,
        "--ctrl-loss-tmo",
        "-1",
        "--iopolicy",
        "numa",
    ];
    let failed = run(root.path(), &arguments).expect(1);
    let first = failed.err.find("error: cannot tune nvme0");
    assert!(
        first.is_some() && failed.err.contains("cannot set the I/O policy"),
        "{failed:?}"
    );
}

#[test]
fn what_is_tuned_is_what_the_kernel_shows() {
    let root = captured("trixie-one-path");
    // Plain files keep what is longer than what is written over it.
    for name in ["ctrl_loss_tmo", "reconnect_delay", "fast_io_fail_tmo"] {
        write(root.path(), &format!("{NVME0}/{name}"), "1");
    }
    let policy = "sys/class/nvme-subsystem/nvme-subsys0/iopolicy";
    write(root.path(), policy, "");
    let arguments = [
        "tune",
        "--nqn",
        NQN,
        "--ctrl-loss-tmo",
        "60",
        "--reconnect-delay",
        "5",
        "--fast-io-fail-tmo",
        "7",
        "--iopolicy",
        "round-robin",
        "-o",
        "json",
    ];
    let tuned = run(root.path(), &arguments).expect(0);
    let told: Value = serde_json::from_str(&tuned.out).expect("JSON");
    let expected = json!({"controllers": ["nvme0"], "subsystems": ["nvme-subsys0"]});
    assert_eq!(told, expected);
    for (name, value) in [
        ("ctrl_loss_tmo", "60"),
        ("reconnect_delay", "5"),
        ("fast_io_fail_tmo", "7"),
    ] {
        let path = format!("{NVME0}/{name}");
        assert_eq!(read(root.path(), &path), value, "{name}");
    }
    assert_eq!(read(root.path(), policy), "round-robin");
}

#[test]
fn a_controller_below_a_map_is_not_told_to_outlive_a_loss_unless_by_force() {
    let root = captured("trixie-map");
    let controller = fs::read_dir(root.path().join("sys/class/nvme")).expect("a directory");
    let controllers: Vec<String> = controller
        .map(|it| {
            it.expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| !name.contains("subsys"))
        .collect();
    let [controller] = &controllers[..] else {
        panic!("{controllers:?}");
    };
    let path = format!("sys/class/nvme/{controller}/ctrl_loss_tmo");
    write(root.path(), &path, "0");
    let tune = |more: &[&str]| {
        let arguments = [&["tune", "--controller", controller], more].concat();
        run(root.path(), &arguments)
    };
    tune(&["--ctrl-loss-tmo", "60", "--iopolicy", "numa"])
        .expect(5)
        .says(&[controller.as_str(), "dm-0", "--force"]);
    assert_eq!(read(root.path(), &path), "0");
    tune(&["--ctrl-loss-tmo", "0"]).expect(0);
    tune(&["--reconnect-delay", "5"]).expect(0);
    write(root.path(), &path, "");
    tune(&["--ctrl-loss-tmo", "60", "--force"]).expect(0);
    assert_eq!(read(root.path(), &path), "60");
}

#[test]
fn an_order_without_target_or_change_is_wrong_use() {
    let root = captured("trixie-one-path");
    for verb in ["rescan", "reset", "tune"] {
        run(root.path(), &[verb])
            .expect(2)
            .says(&["--nqn", "--controller"]);
        let other = ["--nqn", "nqn.2026-01.org.example:other"];
        let more: &[&str] = if verb == "tune" {
            &["--reconnect-delay", "5"]
        } else {
            &[]
        };
        let arguments = [&[verb][..], &other, more].concat();
        run(root.path(), &arguments).expect(3);
    }
    run(root.path(), &["tune", "--nqn", NQN])
        .expect(2)
        .says(&["--iopolicy"]);
    let policy = ["tune", "--nqn", NQN, "--iopolicy", "random"];
    run(root.path(), &policy)
        .expect(2)
        .says(&["round-robin", "queue-depth"]);
    run(root.path(), &["release"])
        .expect(2)
        .says(&["--nqn", "--all"]);
}

#[test]
fn programs_get_an_error_as_an_object() {
    let root = captured("trixie-two-namespaces");
    let failed = run(root.path(), &["resolve", "--nqn", NQN, "-o", "json"]).expect(1);
    assert_eq!(failed.out, "");
    let told: Value = serde_json::from_str(&failed.err).expect("JSON");
    let error = told["error"].as_str().expect("a text");
    assert!(
        error.contains("nvme0n1") && error.contains("nvme0n2"),
        "{error}"
    );
    let what = told["what_to_do"].as_str().expect("a text");
    assert!(what.contains("--uuid"), "{what}");
    assert_eq!(told["exit"], 1);
    let other = [
        "resolve",
        "--nqn",
        "nqn.2026-01.org.example:other",
        "-o",
        "json",
    ];
    let failed = run(root.path(), &other).expect(3);
    let told: Value = serde_json::from_str(&failed.err).expect("JSON");
    assert_eq!(told["exit"], 3);
}

/// The object at the end of standard error.
#[track_caller]
fn last_line(run: &Run) -> Value {
    let line = run.err.lines().last().expect("a line");
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {run:#?}"))
}

#[test]
fn the_object_is_the_last_line_whatever_the_log_says_before_it() {
    let root = captured("trixie-two-namespaces");
    write(
        root.path(),
        "sys/class/nvme-subsystem/nvme-subsys0/model",
        [0xff; 9],
    );
    for more in [&[][..], &["-vvv"], &["--log-format", "json", "-vvv"]] {
        let arguments = [&["resolve", "--nqn", NQN, "-o", "json"][..], more].concat();
        let failed = run(root.path(), &arguments).expect(1);
        assert_eq!(last_line(&failed)["exit"], 1);
    }
}

#[test]
fn wrong_use_is_an_object_too_where_programs_read_it() {
    let root = captured("trixie-one-path");
    for arguments in [
        &["resolve", "--nqn", "a,b", "-o", "json"][..],
        &["resolve", "--nqn", "a,b", "-ojson"],
        &["conect", "--output=json"],
        &["list", "--output", "json", "--nonsense"],
        &["list", "--output-format=json", "--nonsense"],
        &["list", "-vojson", "--nonsense"],
        &["tune", "-o", "json"],
    ] {
        let failed = run(root.path(), arguments).expect(2);
        assert_eq!(failed.out, "");
        assert_eq!(failed.err.lines().count(), 1, "{failed:#?}");
        let told = last_line(&failed);
        assert_eq!(told["exit"], 2);
        let error = told["error"].as_str().expect("a text");
        assert!(
            error.contains("Usage:") || error.contains("help"),
            "{error}"
        );
        assert!(!error.starts_with("error:"), "{error}");
    }
    let failed = run(&root.path().join("nowhere"), &["list", "-o", "json"]).expect(2);
    let told = last_line(&failed);
    assert!(
        told["error"]
            .as_str()
            .is_some_and(|it| it.contains("not a directory"))
    );
    let people = run(root.path(), &["list", "--nonsense"]).expect(2);
    assert!(
        people.err.starts_with("error: unexpected argument"),
        "{people:?}"
    );
}
