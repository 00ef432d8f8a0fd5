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

#[cfg(test)]
mod tests {
    use nvme_sysfs::Transport;

    use super::*;
    use crate::fixture;
    use crate::retry::RetryClass::{self, AlreadyConnected, Permanent, Transient};

    fn answer(errno: i32) -> ConnectError {
        let mut builder = fixture::options(Transport::Tcp);
        builder
            .traddr("192.0.2.1")
            .host_traddr("192.0.2.2")
            .host_iface("eth7");
        let options = builder.build().expect("valid options");
        ConnectError::from_write(io::Error::from_raw_os_error(errno), &options)
    }

    #[test]
    fn every_errno_of_the_kernel_has_a_meaning_and_a_class() {
        let cases: [(i32, &str, RetryClass); 26] = [
            (114, "exists already", AlreadyConnected),
            (22, "(EINVAL)", Permanent),
            (5, "(EIO)", Transient),
            (111, "was refused", Transient),
            (110, "timed out", Transient),
            (11, "never answered within the kernel's 10 s", Transient),
            (104, "closed the connection", Transient),
            (107, "closed the connection", Transient),
            (32, "closed the connection", Transient),
            (113, "no route", Transient),
            (101, "no route", Transient),
            (99, "host_traddr 192.0.2.2 is not an address", Permanent),
            (19, "host_iface eth7 does not exist", Permanent),
            (126, "no key", Permanent),
            (129, "was rejected", Permanent),
            (128, "is revoked", Permanent),
            (13, "TLS handshake", Permanent),
            (95, "does not offer", Permanent),
            (93, "built without it", Permanent),
            (71, "malformed", Permanent),
            (16, "being unloaded", Transient),
            (53, "Fibre Channel", Transient),
            (12, "no I/O queue", Transient),
            (18, "no online CPU", Permanent),
            (4, "interrupted by a signal", Transient),
            (512, "interrupted by a signal", Transient),
        ];
        for (errno, text, class) in cases {
            let error = answer(errno);
            assert!(error.to_string().contains(text), "{errno}: {error}");
            assert_eq!(error.class(), class, "{errno}: {error}");
            assert!(!matches!(error, ConnectError::Other { .. }), "{errno}");
        }
    }

    #[test]
    fn an_errno_without_a_meaning_is_kept() {
        let error = answer(75);
        let ConnectError::Other { source, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(source.raw_os_error(), Some(75));
        assert_eq!(error.class(), Transient);
    }

    #[test]
    fn a_refusal_may_be_a_controller_that_could_not_prove_itself() {
        let secret = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";
        let secret = || secret.parse().expect("a secret");
        let mut builder = fixture::options(Transport::Tcp);
        builder
            .traddr("192.0.2.1")
            .dhchap_secret(secret())
            .dhchap_ctrl_secret(secret());
        let options = builder.build().expect("valid options");
        let error = ConnectError::from_write(io::Error::from_raw_os_error(111), &options);
        assert!(
            error.to_string().contains("failed its authentication"),
            "{error}"
        );
        assert_eq!(error.class(), Permanent);
    }
}
