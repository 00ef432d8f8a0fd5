//! Wrong use: exit code 2, an error that names option, value and rule, and nothing changed
//! anywhere.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::common::{Run, captured, program, read, run, write};

const NQN: &str = "nqn.2026-01.org.example:volume-1";

/// Options that make a connect complete but for what a test adds.
const TCP: [&str; 7] = [
    "connect",
    "--transport",
    "tcp",
    "--traddr",
    "10.0.0.9",
    "--nqn",
    NQN,
];

fn machine() -> tempfile::TempDir {
    let root = captured("trixie-one-path");
    write(root.path(), "dev/nvme-fabrics", "");
    root
}

/// Fails unless the run was refused before anything was touched.
#[track_caller]
fn refused(root: &Path, run: Run, words: &[&str]) {
    run.expect(2).says(words);
    assert_eq!(
        read(root, "dev/nvme-fabrics"),
        "",
        "something was written to the device"
    );
    assert!(!root.join("etc").exists(), "an identity was made");
    assert!(!root.join("run").exists(), "an owner was registered");
}

fn with(value: &[&'static str]) -> Vec<&'static str> {
    TCP.iter().chain(value).copied().collect()
}

const NUMBERS: [&str; 9] = [
    "--ctrl-loss-tmo",
    "--reconnect-delay",
    "--fast-io-fail-tmo",
    "--keep-alive-tmo",
    "--nr-io-queues",
    "--nr-write-queues",
    "--nr-poll-queues",
    "--queue-size",
    "--tos",
];

#[test]
fn every_number_is_plain_decimal() {
    let root = machine();
    for option in NUMBERS {
        for (value, rule) in [
            ("", "a number is required"),
            ("010", "no leading zero"),
            ("0x10", "decimal digits only"),
            ("+5", "decimal digits only"),
            ("-5", "decimal digits only"),
            (" 5", "decimal digits only"),
            ("5,hostnqn=x", "decimal digits only"),
            ("5\n", "decimal digits only"),
            ("5s", "decimal digits only"),
            ("99999999999999999999", "at most"),
        ] {
            let run = run(root.path(), &with(&[option, value]));
            refused(root.path(), run, &[option, rule]);
        }
    }
}

#[test]
fn the_other_numbers_are_plain_decimal_too() {
    let root = machine();
    for option in [
        "--dial-timeout",
        "--timeout",
        "--nsid",
        "--tls-key",
        "--keyring",
    ] {
        for value in ["", "010", "0x10", "-1", "1,x", "4294967296", "0"] {
            let run = run(root.path(), &with(&["--wait", option, value]));
            refused(root.path(), run, &[option]);
        }
    }
}

#[test]
fn numbers_out_of_range_are_told_with_the_range() {
    let root = machine();
    for (option, value, name) in [
        ("--ctrl-loss-tmo", "2147483648", "ctrl_loss_tmo"),
        ("--reconnect-delay", "0", "reconnect_delay"),
        ("--reconnect-delay", "65536", "reconnect_delay"),
        ("--fast-io-fail-tmo", "2147483648", "fast_io_fail_tmo"),
        ("--keep-alive-tmo", "0", "keep_alive_tmo"),
        ("--keep-alive-tmo", "65536", "keep_alive_tmo"),
        ("--nr-io-queues", "0", "nr_io_queues"),
        ("--nr-io-queues", "65536", "nr_io_queues"),
        ("--nr-write-queues", "0", "nr_write_queues"),
        ("--nr-poll-queues", "0", "nr_poll_queues"),
        ("--queue-size", "15", "queue_size"),
        ("--queue-size", "1025", "queue_size"),
    ] {
        let run = run(root.path(), &with(&[option, value]));
        refused(root.path(), run, &[name, value]);
    }
    let run = run(root.path(), &with(&["--tos", "256"]));
    refused(root.path(), run, &["--tos", "256", "at most 255"]);
}

#[test]
fn a_malformed_nqn_is_refused_by_every_verb_that_takes_one() {
    let root = machine();
    let too_long = format!("nqn.2026-01.org.example:{}", "x".repeat(200));
    for nqn in [
        "",
        " ",
        "a,b",
        "a,transport=tcp",
        "a\nb",
        "a\rb",
        " a",
        "a ",
        "a\tb",
        "a/b",
        "a\u{7f}b",
        &too_long,
    ] {
        let connect = [
            "connect",
            "--transport",
            "tcp",
            "--traddr",
            "10.0.0.9",
            "--nqn",
            nqn,
        ];
        for arguments in [
            &connect[..],
            &["resolve", "--nqn", nqn],
            &["disconnect", "--nqn", nqn],
        ] {
            refused(root.path(), run(root.path(), arguments), &["--nqn"]);
        }
        let arguments = [&TCP[..], &["--hostnqn", nqn]].concat();
        refused(root.path(), run(root.path(), &arguments), &["--hostnqn"]);
    }
}

#[test]
fn a_malformed_address_is_refused_with_its_name() {
    let root = machine();
    for (option, name, values) in [
        (
            "--traddr",
            "traddr",
            &[
                "",
                "host.example",
                "10.0.0.256",
                "10.0.0.01",
                "[fd00::1]",
                "fd00::1::2",
                "10.0.0.1:4420",
                "10.0.0.1,trsvcid=1",
                "10.0.0.1\n",
                " 10.0.0.1",
                "fe80::1%",
                "fe80::1%a/b",
            ][..],
        ),
        (
            "--trsvcid",
            "trsvcid",
            &[
                "", "0", "65536", "04420", "0x1144", "-1", "http", "4420,tls", "4420\n", "4420 ",
            ],
        ),
        (
            "--host-traddr",
            "host_traddr",
            &["", "localhost", "10.0.0.1,tls", "fd00::1", "10.0.0.1\n"],
        ),
        (
            "--host-iface",
            "host_iface",
            &["", "eth0,tls", "eth0\n", "averyverylongname", "a/b", "a b"],
        ),
    ] {
        for value in values {
            let option = format!("{option}={value}");
            let arguments = ["connect", "--transport", "tcp", "--nqn", NQN, &option];
            let mut arguments = arguments.to_vec();
            if name != "traddr" {
                arguments.extend(["--traddr", "10.0.0.9"]);
            }
            refused(root.path(), run(root.path(), &arguments), &[name]);
        }
    }
}

#[test]
fn a_malformed_uuid_or_controller_is_refused() {
    let root = machine();
    for value in [
        "",
        "0",
        "00000000-0000-0000-0000-000000000000",
        "11111111-1111-4111-8111-11111111111",
        "g1111111-1111-4111-8111-111111111111",
        "11111111-1111-4111-8111-111111111111,tls",
    ] {
        let hostid = format!("--hostid={value}");
        refused(
            root.path(),
            run(root.path(), &[&TCP[..], &[&hostid]].concat()),
            &["--hostid"],
        );
        let uuid = format!("--uuid={value}");
        refused(
            root.path(),
            run(root.path(), &["resolve", "--nqn", NQN, &uuid]),
            &["--uuid"],
        );
    }
    for value in [
        "",
        "0",
        "nvme",
        "nvme0n1",
        "nvme01",
        "nvme-1",
        "nvme0 ",
        "../nvme0",
        "/dev/nvme0",
        "nvme4294967296",
    ] {
        let controller = format!("--controller={value}");
        refused(
            root.path(),
            run(root.path(), &["disconnect", &controller]),
            &["--controller"],
        );
    }
}

#[test]
fn options_that_do_not_fit_the_transport_are_refused() {
    let root = machine();
    for (options, words) in [
        ("TCP --traddr 10.0.0.9", &["TCP"][..]),
        ("pcie --traddr 0000:00:04.0", &["pcie"]),
        ("tcp", &["traddr", "required"]),
        ("fc --traddr nn-0x1:pn-0x2", &["host_traddr"]),
        ("loop --ctrl-loss-tmo 5", &["ctrl_loss_tmo", "loop"]),
        ("loop --hdr-digest", &["hdr_digest", "loop"]),
    ] {
        let options = options.split(' ');
        let arguments: Vec<_> = ["connect", "--nqn", NQN, "--transport"]
            .into_iter()
            .chain(options)
            .collect();
        refused(root.path(), run(root.path(), &arguments), words);
    }
}

#[test]
fn options_that_need_or_exclude_another_are_refused() {
    let root = machine();
    let discovery = "nqn.2014-08.org.nvmexpress.discovery";
    for (options, words) in [
        (&["--hostnqn", NQN][..], &["hostnqn", "hostid"][..]),
        (&["--concat"], &["concat", "dhchap_secret"]),
        (&["--nsid", "1"], &["--wait"]),
        (&["--timeout", "5"], &["--wait"]),
    ] {
        let arguments = [&TCP[..], options].concat();
        refused(root.path(), run(root.path(), &arguments), words);
    }
    let mut arguments = with(&["--wait"]);
    arguments[6] = discovery;
    refused(
        root.path(),
        run(root.path(), &arguments),
        &["--wait", "discovery"],
    );
}

#[test]
fn a_verb_without_what_it_is_about_is_refused() {
    let root = machine();
    let uuid = "11111111-1111-4111-8111-111111111111";
    for (arguments, words) in [
        (&TCP[..5], &["--nqn"][..]),
        (&["resolve", "--nsid", "1"], &["--nqn"]),
        (
            &["resolve", "--nqn", NQN, "--nsid", "1", "--uuid", uuid],
            &["--nsid", "--uuid"],
        ),
        (&["disconnect"], &["--nqn", "--controller"]),
        (
            &["disconnect", "--nqn", NQN, "--controller", "nvme0"],
            &["--nqn", "--controller"],
        ),
        (&["discover", "--transport", "tcp"], &["traddr", "required"]),
        (
            &["discover", "--transport", "tcp", "--traddr", "host.example"],
            &["traddr"],
        ),
    ] {
        refused(root.path(), run(root.path(), arguments), words);
    }
}

#[test]
fn what_is_not_utf8_is_refused() {
    let root = machine();
    let mut command = program(root.path(), &["resolve", "--nqn"]);
    command.arg(OsStr::from_bytes(b"nqn.2026-01.org.example:\xff"));
    let run = command.output().expect("it starts").into();
    refused(root.path(), run, &["UTF-8"]);
}

/// 32 bytes and their CRC-32, the form in which targets give secrets out.
const SECRET: &str = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";
const PAYLOAD: &str = "ia6zGodOr4SEG0Zz";

#[test]
fn no_part_of_a_secret_is_ever_printed() {
    let root = machine();
    let file = root.path().join("secret");
    let path = file.to_str().expect("UTF-8");
    let long = format!("{SECRET}{}", "x".repeat(5000));
    for content in [
        SECRET.as_bytes(),
        &SECRET.as_bytes()[..SECRET.len() - 1],
        &SECRET.as_bytes()[..40],
        SECRET.replace("00:", "07:").as_bytes(),
        SECRET.replace("6aQ2n", "6aQ2o").as_bytes(),
        format!("{SECRET},hostnqn=x").as_bytes(),
        format!("{SECRET}\0").as_bytes(),
        format!("{SECRET}\n{SECRET}\n").as_bytes(),
        long.as_bytes(),
        b"",
    ] {
        fs::write(&file, content).expect("file");
        for option in ["--dhchap-secret-file", "--dhchap-ctrl-secret-file"] {
            // A controller's secret alone is refused, so this never gets to the kernel.
            let arguments = [
                &TCP[..],
                &["-vvv", option, path, "--ctrl-loss-tmo", "2147483648"],
            ]
            .concat();
            let run = run(root.path(), &arguments);
            assert!(!run.err.contains(PAYLOAD), "{}", run.err);
            refused(root.path(), run, &[]);
        }
    }
}

#[test]
fn a_secret_file_that_cannot_be_read_is_named() {
    let root = machine();
    let run = run(
        root.path(),
        &with(&["--dhchap-secret-file", "/nowhere/secret"]),
    );
    refused(root.path(), run, &["/nowhere/secret"]);
}
