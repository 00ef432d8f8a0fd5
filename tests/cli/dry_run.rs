//! `connect --dry-run`: what the kernel would be asked, and nothing done. With nvme-cli's letters, as
//! the guides of targets print them.

use std::path::Path;

use serde_json::Value;

use crate::common::{Run, captured, read, run, write};

const NQN: &str = "nqn.2026-01.org.example:volume-1";
const HOSTNQN: &str = "nqn.2014-08.org.nvmexpress:uuid:aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const HOSTID: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const SECRET: &str = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";

fn machine() -> tempfile::TempDir {
    let root = captured("trixie-one-path");
    write(root.path(), "dev/nvme-fabrics", "");
    write(root.path(), "secret", format!("{SECRET}\n"));
    root
}

/// Runs `connect --dry-run` with this behind it, and fails if it touched anything.
#[track_caller]
fn dry_run(root: &Path, more: &str) -> Run {
    let file = root.join("secret");
    let more = more.replace("FILE", file.to_str().expect("UTF-8"));
    let arguments: Vec<&str> = ["connect", "--dry-run"]
        .into_iter()
        .chain(more.split(' '))
        .collect();
    let run = run(root, &arguments).expect(0);
    assert_eq!(read(root, "dev/nvme-fabrics"), "", "something was written");
    for made in ["etc", "run"] {
        assert!(!root.join(made).exists(), "{made} was made");
    }
    assert!(
        !run.out.contains("ia6z") && !run.err.contains("ia6z"),
        "{}",
        run.err
    );
    run
}

/// Options of one line, and the part of the option string that they stand for.
const LETTERS: [(&str, &str); 14] = [
    ("-i 2", "nr_io_queues=2"),
    ("-W 1", "nr_write_queues=1"),
    ("-P 3", "nr_poll_queues=3"),
    ("-Q 64", "queue_size=64"),
    ("-k 7", "keep_alive_tmo=7"),
    ("-c 3", "reconnect_delay=3"),
    ("-l -1", "ctrl_loss_tmo=-1"),
    ("--fast_io_fail_tmo 5", "fast_io_fail_tmo=5"),
    ("-T 4", "tos=4"),
    ("-w 10.0.0.1", "host_traddr=10.0.0.1"),
    ("-f eth0", "host_iface=eth0"),
    (
        "-S FILE -C FILE",
        "dhchap_secret=***,dhchap_ctrl_secret=***",
    ),
    ("-D", "duplicate_connect"),
    ("-d -g -G", "disable_sqflow,hdr_digest,data_digest"),
];

#[test]
fn each_letter_of_nvme_cli_stands_for_its_option() {
    let root = machine();
    let target = format!("-t tcp -a 10.0.0.9 -s 4421 -n {NQN} -q {HOSTNQN} -I {HOSTID}");
    for (options, part) in LETTERS {
        let out = dry_run(root.path(), &format!("{target} {options}")).out;
        let rest = out.trim_end().replacen(&format!(",{part}"), "", 1);
        assert_eq!(
            rest,
            format!(
                "transport=tcp,traddr=10.0.0.9,trsvcid=4421,nqn={NQN},hostnqn={HOSTNQN},hostid={HOSTID}"
            ),
            "{options}: {out}"
        );
    }
}

#[test]
fn json_has_the_options_in_one_string() {
    let root = machine();
    let out = dry_run(
        root.path(),
        &format!("-t loop -n {NQN} -q {HOSTNQN} -I {HOSTID} -o json"),
    )
    .out;
    let value: Value = serde_json::from_str(&out).expect("JSON");
    let options = format!("transport=loop,nqn={NQN},hostnqn={HOSTNQN},hostid={HOSTID}");
    assert_eq!(value["options"], options);
}

#[test]
fn the_uuid_in_a_host_nqn_is_the_hosts_identifier() {
    let root = machine();
    let run = dry_run(root.path(), &format!("-t loop -n {NQN} -q {HOSTNQN}"));
    let options = format!("transport=loop,nqn={NQN},hostnqn={HOSTNQN},hostid={HOSTID}\n");
    assert_eq!(run.out, options);
}

#[test]
fn a_host_that_is_nobody_stays_so() {
    let root = machine();
    let run = dry_run(root.path(), &format!("-t loop -n {NQN}"));
    assert_eq!(run.out, format!("transport=loop,nqn={NQN}\n"));
    run.says(&["no identity"]);
}

#[test]
fn a_secret_in_place_of_its_file_is_taken_with_a_warning_and_shown_nowhere() {
    let root = machine();
    let target = format!("-vvv -t tcp -a 10.0.0.9 -n {NQN} -q {HOSTNQN} -I {HOSTID}");
    for option in ["-S ", "--dhchap-secret="] {
        let run = dry_run(root.path(), &format!("{target} {option}{SECRET}"));
        assert!(run.out.ends_with(",dhchap_secret=***\n"), "{}", run.out);
        run.says(&["every user of the machine"]);
    }
    let wrong = SECRET.replace("6aQ2n", "6aQ2o");
    let arguments = ["connect", "-t", "loop", "-n", NQN, "-S", &wrong];
    let refused = run(root.path(), &arguments).expect(2);
    assert!(!refused.err.contains("ia6z"), "{}", refused.err);
}

#[test]
fn a_name_without_an_identifier_is_kept() {
    let root = machine();
    let hostnqn = "nqn.2026-01.org.example:host";
    write(root.path(), "etc/nvme/hostnqn", format!("{hostnqn}\n"));
    let arguments = ["connect", "--dry-run", "-t", "loop", "-n", NQN];
    let run = run(root.path(), &arguments).expect(0);
    assert_eq!(
        run.out,
        format!("transport=loop,nqn={NQN},hostnqn={hostnqn}\n")
    );
    run.says(&["no identifier"]);
    assert!(!root.path().join("etc/nvme/hostid").exists());
}

/// What begins as a secret does, in whichever spelling, was meant for one.
const NEAR_MISSES: [&str; 7] = [
    " DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:",
    "\tDhhc-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:",
    "dhhc-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:",
    "DHHC-2:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:",
    "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n",
    "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2o:",
    "NVMeTLSkey-1:01:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:",
];

#[test]
fn nothing_of_a_secret_that_is_mistyped_or_misplaced_is_shown() {
    let root = machine();
    let target = ["-vvv", "-t", "tcp", "-a", "192.0.2.1"];
    for verb in [&["connect", "--dry-run", "-n", NQN][..], &["discover"]] {
        for near in NEAR_MISSES {
            for given in [
                vec![format!("-S{near}")],
                vec![format!("--dhchap-secret={near}")],
                vec![
                    "-S".to_owned(),
                    SECRET.to_owned(),
                    "-C".to_owned(),
                    near.to_owned(),
                ],
                vec!["--tls-key".to_owned(), near.to_owned()],
                vec![format!("--tls-key={near}")],
                vec!["--dhchap-secrets".to_owned(), near.to_owned()],
                vec![near.to_owned()],
            ] {
                for form in ["human", "json"] {
                    let given: Vec<&str> = given.iter().map(String::as_str).collect();
                    let arguments = [verb, &target, &["-o", form], &given].concat();
                    let run = run(root.path(), &arguments).expect(2);
                    for said in [&run.out, &run.err] {
                        assert!(!said.contains("ia6z"), "{arguments:?}: {said}");
                    }
                }
            }
        }
    }
}

#[test]
fn discover_takes_the_same_letters() {
    let root = machine();
    let options = "discover -t tcp -a host.example -s 8009 -w 10.0.0.1 -f eth0 -k 30 -Q 64 -i 2 -W 1 -P 1 -c 3 -l -1 -T 4 -g -G --disable-sqflow";
    let arguments: Vec<&str> = options
        .split(' ')
        .chain(["-q", HOSTNQN, "-I", HOSTID])
        .collect();
    // All are known: what is wrong is the address.
    run(root.path(), &arguments)
        .expect(2)
        .says(&["traddr", "host.example"]);
    // There it is nvme-cli's --device.
    run(
        root.path(),
        &["discover", "-t", "tcp", "-a", "192.0.2.1", "-d"],
    )
    .expect(2)
    .says(&["unexpected argument"]);
}

#[test]
fn a_new_secret_is_one_that_connects_and_a_check_shows_nothing_of_it() {
    let root = machine();
    for (number, hash, bytes) in [
        ("0", "none", 32),
        ("1", "SHA-256", 32),
        ("2", "SHA-384", 48),
        ("3", "SHA-512", 64),
    ] {
        let made = run(root.path(), &["gen-dhchap-key", "-m", number]).expect(0);
        assert_eq!(made.err, "");
        write(root.path(), "new", &made.out);
        let file = root.path().join("new").display().to_string();
        let checked = run(root.path(), &["check-dhchap-key", "-k", &file]).expect(0);
        assert_eq!(checked.out, format!("valid: {bytes} bytes, hash {hash}\n"));
        let arguments = ["connect", "--dry-run", "-t", "loop", "-n", NQN, "-S", &file];
        run(root.path(), &arguments).expect(0);
    }
    let long = [
        "gen-dhchap-key",
        "-m",
        "0",
        "-l",
        "64",
        "-n",
        NQN,
        "-o",
        "json",
    ];
    let made = run(root.path(), &long).expect(0).says(&["no difference"]);
    let value: Value = serde_json::from_str(&made.out).expect("JSON");
    let secret = value["secret"].as_str().expect("a text");
    assert!(
        secret.starts_with("DHHC-1:00:") && secret.len() == 10 + 92 + 1,
        "{secret}"
    );
    for wrong in [&["-m", "4"][..], &["-l", "31"], &["-m", "1", "-l", "48"]] {
        run(root.path(), &[&["gen-dhchap-key"][..], wrong].concat()).expect(2);
    }
    for near in &NEAR_MISSES[..] {
        let refused = run(root.path(), &["check-dhchap-key", "--key", near]).expect(1);
        assert!(
            !refused.err.contains("ia6z") && refused.out.is_empty(),
            "{refused:?}"
        );
    }
}
