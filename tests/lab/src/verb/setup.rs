//! `cargo lab setup`: packages and kernels.

use std::error::Error;
use std::process::ExitCode;

use kernel_lab::cluster::peers::Peers;
use kernel_lab::suite::UnknownSuite;
use kernel_lab::{DebianHost, Suite, kernels, kubelet, peers, published, sanity, setup};

use super::Outcome;

/// Install what the lab needs (as root; else the command is printed) and get the kernels
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// bookworm, trixie, sid, with commas between them, or all; LAB_KERNELS or trixie when not given
    #[arg(long)]
    kernels: Option<String>,
    /// Get nvme-cli, csi-sanity, udev with LVM, md and multipath, published protocols and the programs of a cluster too, which tests and benchmarks compare with or run
    #[arg(long)]
    peers: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome {
    prepare(&suites(arguments.kernels.as_deref())?)?;
    if arguments.peers {
        peers::get_nvme_cli()?;
        DebianHost::get()?;
        sanity::get()?;
        published::CSI.get()?;
        published::REGISTRATION.get()?;
        kubelet::get()?;
        Peers::get()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Installs the packages and gets the kernels.
pub(crate) fn prepare(suites: &[Suite]) -> Result<(), Box<dyn Error>> {
    setup::install_packages()?;
    for suite in suites {
        let kernel = kernels::get(*suite)?;
        eprintln!("lab: {suite}: Linux {} is ready", kernel.release);
    }
    Ok(())
}

/// The suites of a `--kernels` argument.
pub(crate) fn suites(argument: Option<&str>) -> Result<Vec<Suite>, UnknownSuite> {
    match argument {
        Some(list) => Suite::parse_list(list),
        None => Suite::chosen(),
    }
}
