//! Parameters of the driver's modules, `/sys/module/*/parameters`: how this host handles every controller.
//!
//! Invariant: absent means that the module is not there or does not have the parameter, never a default.

use std::time::Duration;

use crate::attribute::Directory;
use crate::device::decimal;
use crate::error::ScanError;
use crate::subsystem::IoPolicy;
use crate::value;

/// Parameters of the modules that serve fabrics controllers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Of `nvme_core`.
    pub core: CoreParameters,
    /// Of `nvme_tcp`.
    pub tcp: TcpParameters,
}

/// Parameters of the module `nvme_core`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CoreParameters {
    /// Whether native multipath is on.
    pub multipath: Option<bool>,
    /// Policy of subsystems that are made from now on.
    pub iopolicy: Option<IoPolicy>,
    /// Time after which an I/O command counts as lost.
    pub io_timeout: Option<Duration>,
    /// Time after which an admin command counts as lost.
    pub admin_timeout: Option<Duration>,
    /// How often a command is sent again.
    pub max_retries: Option<u8>,
}

/// Parameters of the module `nvme_tcp`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TcpParameters {
    /// Priority of the sockets (socket(7), `SO_PRIORITY`); the kernel uses none where it is not positive.
    pub so_priority: Option<i32>,
    /// Whether the work of the sockets may move between processors.
    pub wq_unbound: Option<bool>,
    /// Time that a TLS handshake may take.
    pub tls_handshake_timeout: Option<Duration>,
}

/// Reads the parameters of the modules below `module`.
pub(crate) fn read(module: &Directory) -> Result<Parameters, ScanError> {
    Ok(Parameters {
        core: match module.directory("nvme_core/parameters")? {
            Some(directory) => read_core(&directory)?,
            None => CoreParameters::default(),
        },
        tcp: match module.directory("nvme_tcp/parameters")? {
            Some(directory) => read_tcp(&directory)?,
            None => TcpParameters::default(),
        },
    })
}

fn read_core(directory: &Directory) -> Result<CoreParameters, ScanError> {
    Ok(CoreParameters {
        multipath: read_multipath(directory)?,
        iopolicy: directory.word("iopolicy")?,
        io_timeout: directory.value("io_timeout", "seconds", value::seconds)?,
        admin_timeout: directory.value("admin_timeout", "seconds", value::seconds)?,
        max_retries: directory.value("max_retries", "a decimal number (8 bits)", decimal)?,
    })
}

/// Whether native multipath is on, from the parameters of `nvme_core`.
pub(crate) fn read_multipath(directory: &Directory) -> Result<Option<bool>, ScanError> {
    directory.value("multipath", "Y or N", value::yes_or_no)
}

fn read_tcp(directory: &Directory) -> Result<TcpParameters, ScanError> {
    Ok(TcpParameters {
        so_priority: directory
            .value("so_priority", "a decimal number", |text| text.parse().ok())?,
        wq_unbound: directory.value("wq_unbound", "Y or N", value::yes_or_no)?,
        tls_handshake_timeout: directory.value(
            "tls_handshake_timeout",
            "seconds",
            value::seconds,
        )?,
    })
}
