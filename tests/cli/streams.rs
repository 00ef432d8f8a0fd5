//! Standard output and standard error that nobody reads, or that take nothing more: the exit code
//! stays what a script decides by.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::common::{Run, empty, program};

const NOT_FOUND: [&str; 3] = ["resolve", "--nqn", "nqn.2026-01.org.example:volume-1"];

/// The writing end of a pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// A device that takes nothing.
fn full() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full")
        .into()
}

fn run(root: &Path, arguments: &[&str], out: Stdio, err: Stdio) -> Run {
    let mut command = program(root, arguments);
    let output = command.stdout(out).stderr(err).output();
    output.expect("it starts").into()
}

#[test]
fn an_error_that_nobody_reads_keeps_its_exit_code() {
    let root = empty();
    let json = [&["--log-format", "json"], &NOT_FOUND[..]].concat();
    for arguments in [&NOT_FOUND[..], &json] {
        for err in [closed, full] {
            run(root.path(), arguments, Stdio::piped(), err()).expect(3);
        }
    }
}

#[test]
fn a_result_that_nobody_reads_is_no_failure() {
    let root = empty();
    let run = run(root.path(), &["list-subsys"], closed(), Stdio::piped());
    assert_eq!(run.expect(0).err, "");
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure_that_says_so() {
    let root = empty();
    let run = run(root.path(), &["list-subsys"], full(), Stdio::piped());
    run.expect(1).says(&["the result cannot be written"]);
}

#[test]
fn a_wrong_root_is_told_in_the_form_that_was_asked_for() {
    let root = empty();
    let arguments = ["--log-format", "json", "list-subsys"];
    let run: Run = program(&root.path().join("nowhere"), &arguments)
        .output()
        .expect("it starts")
        .into();
    let line: Value = serde_json::from_str(&run.expect(2).err).expect("one JSON object");
    let error = line["fields"]["error"].as_str().expect("an error");
    assert!(error.ends_with("nowhere: not a directory"), "{error}");
}
