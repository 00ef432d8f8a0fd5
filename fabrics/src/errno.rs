//! What the errno of a write to `/dev/nvme-fabrics` means.
//!
//! Source: kernel sources 6.1, 6.12 and 7.x, and the same failures provoked on those kernels.

use std::io;

use rustix::io::Errno;

use crate::error::{ConnectError, Explanation};
use crate::options::ConnectOptions;
use crate::token::TokenSet;

/// Kernel-internal errno that a write interrupted by a signal may leak.
const ERESTARTSYS: i32 = 512;

impl ConnectError {
    /// What the errno of a failed write means for `options`.
    pub(crate) fn from_write(error: io::Error, options: &ConnectOptions) -> ConnectError {
        let nqn = options.nqn().clone();
        let explanation = Explanation::NotAsked;
        let address = options.address();
        let Some(raw) = error.raw_os_error() else {
            let source = error;
            return ConnectError::Other { nqn, source };
        };
        let proves = options.tokens().contains(TokenSet::DHCHAP_CTRL_SECRET);
        match Errno::from_raw_os_error(raw) {
            Errno::ALREADY => ConnectError::AlreadyConnected { nqn },
            Errno::INVAL => ConnectError::Invalid { nqn, explanation },
            Errno::IO => ConnectError::Rejected { nqn, explanation },
            Errno::CONNREFUSED if proves => ConnectError::RefusedOrUnproven { nqn },
            Errno::CONNREFUSED => ConnectError::Refused { nqn },
            Errno::TIMEDOUT => ConnectError::TimedOut { nqn },
            Errno::AGAIN => ConnectError::NeverAnswered { nqn },
            Errno::CONNRESET | Errno::NOTCONN | Errno::PIPE => ConnectError::PeerClosed { nqn },
            Errno::HOSTUNREACH | Errno::NETUNREACH => ConnectError::Unreachable { nqn },
            Errno::ADDRNOTAVAIL => ConnectError::SourceAddress {
                host_traddr: address.host_traddr.clone().unwrap_or_default(),
            },
            Errno::NODEV => ConnectError::Interface {
                host_iface: address.host_iface.clone().unwrap_or_default(),
            },
            Errno::NOKEY => ConnectError::KeyMissing { nqn },
            Errno::KEYREJECTED => ConnectError::KeyRejected { nqn },
            Errno::KEYREVOKED => ConnectError::KeyRevoked { nqn },
            Errno::ACCESS => ConnectError::TlsRefused { nqn },
            Errno::OPNOTSUPP => ConnectError::NotSupported { nqn },
            Errno::PROTONOSUPPORT => ConnectError::NoAuthentication { nqn },
            Errno::PROTO => ConnectError::AuthProtocol { nqn },
            Errno::BUSY => ConnectError::ModuleBusy,
            Errno::NOENT | Errno::BADR => ConnectError::NoFcPort,
            Errno::NOMEM => ConnectError::NoResources { nqn },
            Errno::XDEV => ConnectError::NoCpu { nqn },
            Errno::INTR => ConnectError::Interrupted { nqn },
            _ if raw == ERESTARTSYS => ConnectError::Interrupted { nqn },
            _ => ConnectError::Other { nqn, source: error },
        }
    }
}
