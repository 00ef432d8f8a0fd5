//! The lab's command line on a machine that lacks what the lab needs.

#![expect(clippy::disallowed_methods, reason = "the program under test is run")]

use std::process::{Command, Stdio};

#[test]
fn without_the_programs_and_without_apt_the_packages_are_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_kernel-lab"))
        .arg("setup")
        .env("PATH", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("no apt: install what Debian calls") && text.contains("qemu-system-x86"),
        "{text}"
    );
}
