//! Parameters of the driver's modules, `/sys/module/*/parameters`: how this host handles every controller.
//!
//! Invariant: absent means that the module is not there or does not have the parameter, never a default.

use std::time::Duration;

use crate::attribute::Directory;
use crate::device::decimal;
use crate::error::Unknown;
use crate::reader::{Reader, note};
use crate::subsystem::IoPolicy;
use crate::value;

/// Parameters of the modules that serve fabrics controllers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Of `nvme_core`.
    pub core: CoreParameters,
    /// Of `nvme_tcp`.
    pub tcp: TcpParameters,
    /// What could not be read.
    pub unknown: Vec<Unknown>,
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
pub(crate) fn read(module: &Directory, parameters: &mut Parameters) {
    let core = module.directory("nvme_core/parameters");
    if let Some(core) = note(core, &mut parameters.unknown).flatten() {
        let mut core = Reader::of(&core);
        parameters.core = read_core(&mut core);
        parameters.unknown.extend(core.noted());
    }
    let tcp = module.directory("nvme_tcp/parameters");
    if let Some(tcp) = note(tcp, &mut parameters.unknown).flatten() {
        let mut tcp = Reader::of(&tcp);
        parameters.tcp = read_tcp(&mut tcp);
        parameters.unknown.extend(tcp.noted());
    }
}

fn read_core(core: &mut Reader<'_>) -> CoreParameters {
    CoreParameters {
        multipath: read_multipath(core),
        iopolicy: core.word("iopolicy"),
        io_timeout: core.value("io_timeout", "seconds", value::seconds),
        admin_timeout: core.value("admin_timeout", "seconds", value::seconds),
        max_retries: core.value("max_retries", "a decimal number (8 bits)", decimal),
    }
}

/// Whether native multipath is on, from the parameters of `nvme_core`.
pub(crate) fn read_multipath(core: &mut Reader<'_>) -> Option<bool> {
    core.value("multipath", "Y or N", value::yes_or_no)
}

fn read_tcp(tcp: &mut Reader<'_>) -> TcpParameters {
    TcpParameters {
        so_priority: tcp.value("so_priority", "a decimal number", |text| text.parse().ok()),
        wq_unbound: tcp.value("wq_unbound", "Y or N", value::yes_or_no),
        tls_handshake_timeout: tcp.value("tls_handshake_timeout", "seconds", value::seconds),
    }
}
