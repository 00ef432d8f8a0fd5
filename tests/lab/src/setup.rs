//! Installing what the lab needs: by apt where we are root, else by telling the command.

use std::process::Command;

use nix::unistd::geteuid;

use crate::command::{self, CommandError, find_program};
use crate::qemu::QEMU;

/// Programs that the lab runs on the host or packs for the guest, each with its Debian package.
const NEEDED: [(&str, &str); 10] = [
    (QEMU, "qemu-system-x86"),
    ("depmod", "kmod"),
    ("xz", "xz-utils"),
    ("mke2fs", "e2fsprogs"),
    ("mkfs.xfs", "xfsprogs"),
    ("strace", "strace"),
    ("dmsetup", "dmsetup"),
    ("losetup", "mount"),
    ("buildah", "buildah"),
    ("strip", "binutils"),
];

/// Why the machine is not ready.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Packages are missing and only root may install them.
    #[error("the lab needs packages, and only root can install them:\n    {command}")]
    NotRoot {
        /// The command to run as root.
        command: String,
    },
    /// Programs are missing, and this is no Debian.
    #[error(
        "the lab needs programs, and this machine has no apt: install what Debian calls {packages}"
    )]
    NoApt {
        /// The packages, with spaces between them.
        packages: String,
    },
    /// apt failed.
    #[error("cannot install packages: see to the network, and run the same command again")]
    Install(#[source] CommandError),
}

/// Makes sure that all packages are installed.
///
/// # Errors
/// [`SetupError::NotRoot`] carries the command to run instead, [`SetupError::NoApt`] what to look for.
pub fn install_packages() -> Result<(), SetupError> {
    let missing = missing_packages();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    if find_program("apt-get").is_none() {
        return Err(SetupError::NoApt { packages });
    }
    if !geteuid().is_root() {
        let command = format!(
            "sudo apt-get update && sudo apt-get install -y --no-install-recommends {packages}"
        );
        return Err(SetupError::NotRoot { command });
    }
    eprintln!("lab: installing {packages}: about a minute");
    // A fresh container has no package lists at all.
    command::show(Command::new("apt-get").args(["-q", "update"])).map_err(SetupError::Install)?;
    let mut install = Command::new("apt-get");
    install
        .args(["-q", "install", "-y", "--no-install-recommends"])
        .args(missing);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    command::show(&mut install).map_err(SetupError::Install)
}

fn missing_packages() -> Vec<&'static str> {
    NEEDED
        .iter()
        .filter(|(program, _)| find_program(program).is_none())
        .map(|(_, package)| *package)
        .collect()
}
