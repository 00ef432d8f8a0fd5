//! Where the node plugin keeps what is staged, for verbs that look at its volumes.

use std::path::PathBuf;

/// The `--state-dir` option.
#[derive(Debug, Clone, clap::Args)]
pub struct StateDir {
    /// Where the node plugin keeps what is staged, to know the volumes
    #[arg(
        long = "state-dir",
        value_name = "DIR",
        default_value = "/var/lib/kubelet/plugins/direct.nvmeof.csi/state"
    )]
    pub path: PathBuf,
}
