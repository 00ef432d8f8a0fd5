//! The program agrees with what is shipped for it.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

use crate::files::text;

#[test]
fn the_modules_that_doctor_asks_for_are_loaded_at_boot() {
    let file = text("modules-load.d/nvmeof-csi.conf");
    let shipped: BTreeSet<&str> = file.lines().filter(|line| !line.starts_with('#')).collect();
    // On a machine without any module, doctor asks for every one.
    let root = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(root.path().join("sys/class")).expect("a directory");
    let root = root.path().to_str().expect("a path of letters");
    // The exit code says that something is missing.
    let output = run(&["--root", root, "doctor"]);
    let findings = String::from_utf8(output.stdout).expect("text");
    let asked: BTreeSet<&str> = findings
        .split("add the line `")
        .skip(1)
        .map(|rest| rest.split_once('`').expect("its end").0)
        .collect();
    assert_eq!(shipped, asked, "{findings}");
}

fn run(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nvmeof-csi"));
    command.args(words).env_remove("NVMEOF_ROOT");
    command.output().expect("it starts")
}
