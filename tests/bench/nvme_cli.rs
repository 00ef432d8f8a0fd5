//! nvme-cli, the yardstick: the lab's own copy of 2.13 first, else the one that is installed.

use std::io;
use std::process::Command;

use kernel_lab::command::find_program;
use kernel_lab::peers::{self, Peer, PeerError};

use crate::synthetic::Synthetic;

/// An nvme-cli that can be run here.
#[derive(Debug)]
pub(crate) enum NvmeCli {
    /// Debian trixie's, unpacked by the lab: the version that the figures of this project are about.
    Lab(Peer),
    /// Of this machine.
    Installed,
}

impl NvmeCli {
    /// Nothing is downloaded; the error names the command that does it.
    pub(crate) fn find() -> Result<Self, PeerError> {
        match peers::find_nvme_cli() {
            Ok(peer) => Ok(Self::Lab(peer)),
            Err(_) if find_program("nvme").is_some() => Ok(Self::Installed),
            Err(error) => Err(error),
        }
    }

    /// Where it comes from.
    pub(crate) fn origin(&self) -> &'static str {
        match self {
            Self::Lab(_) => "the lab",
            Self::Installed => "this machine",
        }
    }

    /// The line that it prints of itself.
    pub(crate) fn version(&self) -> io::Result<String> {
        let output = self.command().arg("version").output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text
            .lines()
            .next()
            .unwrap_or("nvme-cli of unknown version")
            .to_owned())
    }

    /// `nvme list-subsys -o json` on a tree.
    pub(crate) fn list_subsys(&self, tree: &Synthetic) -> Command {
        let mut command = self.command();
        command
            .args(["list-subsys", "-o", "json"])
            .env("LIBNVME_SYSFS_PATH", tree.root());
        command
    }

    fn command(&self) -> Command {
        match self {
            Self::Lab(peer) => peer.command(),
            Self::Installed => Command::new("nvme"),
        }
    }
}
