//! What the errno of a write to `/dev/nvme-fabrics` means: one row for each, with its words and what
//! to do about it.
//!
//! Source: kernel sources 6.1, 6.12 and 7.x, and the same failures provoked on those kernels.

use std::fmt;
use std::io;

use nvme_sysfs::{Nqn, TransportAddress};
use rustix::io::Errno;

use crate::cause::Cause;
use crate::options::ConnectOptions;
use crate::token::TokenSet;

/// Kernel-internal errno that a write interrupted by a signal may leak.
const ERESTARTSYS: i32 = 512;

/// A connect that the kernel refused.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The subsystem.
    pub nqn: Nqn,
    /// Where to and from.
    pub address: TransportAddress,
    /// What the kernel's log says of a refusal that is too general to act on.
    pub explanation: Explanation,
}

/// Why the kernel refused a connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each has its words in its row")]
pub enum Refusal {
    AlreadyConnected,
    Invalid,
    Rejected,
    Refused,
    RefusedOrUnproven,
    TimedOut,
    NeverAnswered,
    PeerClosed,
    Unreachable,
    SourceAddress,
    Interface,
    KeyMissing,
    KeyRejected,
    KeyRevoked,
    TlsRefused,
    NotSupported,
    NoAuthentication,
    AuthProtocol,
    ModuleBusy,
    NoFcPort,
    NoResources,
    NoCpu,
    Interrupted,
}

/// What the kernel's log says about a bare EIO or EINVAL.
#[derive(Debug)]
pub enum Explanation {
    /// A known message about this call.
    Known(Cause),
    /// No known message about this call.
    NothingLogged,
    /// The log cannot be read: EPERM without CAP_SYSLOG.
    LogUnreadable(io::Error),
    /// The caller did not ask.
    NotAsked,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Explanation::Known(cause) => write!(f, "{cause}"),
            Explanation::NothingLogged => f.write_str("the kernel's log names no known cause"),
            Explanation::LogUnreadable(error) => write!(
                f,
                "the cause stands in the kernel's log, which cannot be read ({error}): \
                 CAP_SYSLOG is needed"
            ),
            Explanation::NotAsked => f.write_str("the cause stands in the kernel's log"),
        }
    }
}

/// What a caller may do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryClass {
    /// The same call may succeed later: the network or the target has to change.
    Transient,
    /// The same call goes on failing until its options or this host change.
    Permanent,
    /// The kernel has the controller already.
    AlreadyConnected,
}

/// The errnos of a refusal, what to do about it, and its words, in which `{…}` stands for a field.
struct Row(Refusal, &'static [Errno], RetryClass, &'static str);

#[rustfmt::skip]
static ROWS: [Row; 23] = {
    use RetryClass::{AlreadyConnected, Permanent, Transient};
    [
        Row(Refusal::AlreadyConnected, &[Errno::ALREADY], AlreadyConnected,
            "a controller of {nqn} with this address exists already"),
        Row(Refusal::Invalid, &[Errno::INVAL], Permanent,
            "the kernel refused to connect {nqn} (EINVAL): {explanation}"),
        Row(Refusal::Rejected, &[Errno::IO], Transient,
            "the target refused the connect of {nqn} (EIO): {explanation}"),
        Row(Refusal::Refused, &[Errno::CONNREFUSED], Transient,
            "the connection for {nqn} was refused"),
        Row(Refusal::RefusedOrUnproven, &[], Permanent,
            "the connection for {nqn} was refused, or its controller failed its authentication"),
        Row(Refusal::TimedOut, &[Errno::TIMEDOUT], Transient,
            "the connection for {nqn} timed out in the kernel"),
        Row(Refusal::NeverAnswered, &[Errno::AGAIN], Transient,
            "the peer accepted the connection for {nqn} but never answered within the kernel's 10 s"),
        Row(Refusal::PeerClosed, &[Errno::CONNRESET, Errno::NOTCONN, Errno::PIPE], Transient,
            "the peer closed the connection for {nqn} during the handshake"),
        Row(Refusal::Unreachable, &[Errno::HOSTUNREACH, Errno::NETUNREACH], Transient,
            "no route to the address of {nqn}"),
        Row(Refusal::SourceAddress, &[Errno::ADDRNOTAVAIL], Permanent,
            "host_traddr {host_traddr} is not an address of this host"),
        Row(Refusal::Interface, &[Errno::NODEV], Permanent,
            "host_iface {host_iface} does not exist"),
        Row(Refusal::KeyMissing, &[Errno::NOKEY], Permanent,
            "no key for {nqn}: the target demands authentication, or a TLS key is not in the keyring"),
        Row(Refusal::KeyRejected, &[Errno::KEYREJECTED], Permanent,
            "the key for {nqn} was rejected"),
        Row(Refusal::KeyRevoked, &[Errno::KEYREVOKED], Permanent,
            "the key for {nqn} is revoked"),
        Row(Refusal::TlsRefused, &[Errno::ACCESS], Permanent,
            "the TLS handshake for {nqn} failed"),
        Row(Refusal::NotSupported, &[Errno::OPNOTSUPP], Permanent,
            "{nqn} needs something that this host does not offer: TLS without its daemon tlshd, \
             secure concatenation, or a target without SGL support"),
        Row(Refusal::NoAuthentication, &[Errno::PROTONOSUPPORT], Permanent,
            "{nqn} demands authentication and this kernel is built without it"),
        Row(Refusal::AuthProtocol, &[Errno::PROTO], Permanent,
            "the authentication exchange with {nqn} was malformed"),
        Row(Refusal::ModuleBusy, &[Errno::BUSY], Transient,
            "the module of the transport is being unloaded"),
        Row(Refusal::NoFcPort, &[Errno::NOENT, Errno::BADR], Transient,
            "there is no such pair of Fibre Channel ports"),
        Row(Refusal::NoResources, &[Errno::NOMEM], Transient,
            "{nqn} granted no I/O queue, or the kernel is out of memory"),
        Row(Refusal::NoCpu, &[Errno::XDEV], Permanent,
            "no online CPU is mapped to the I/O queues of {nqn}"),
        Row(Refusal::Interrupted, &[Errno::INTR], Transient,
            "connecting {nqn} was interrupted by a signal"),
    ]
};

impl Refusal {
    fn row(self) -> &'static Row {
        let row = ROWS.iter().find(|row| row.0 == self);
        row.expect("a test holds the table complete")
    }
}

impl Refused {
    /// A refusal whose log was not asked.
    #[must_use]
    pub fn new(refusal: Refusal, nqn: Nqn) -> Refused {
        Refused {
            refusal,
            nqn,
            address: TransportAddress::default(),
            explanation: Explanation::NotAsked,
        }
    }

    /// Whether only the kernel's log tells what is wrong.
    pub(crate) fn is_bare(&self) -> bool {
        matches!(self.refusal, Refusal::Invalid | Refusal::Rejected)
    }

    /// What a caller may do about it.
    pub(crate) fn class(&self) -> RetryClass {
        match &self.explanation {
            Explanation::Known(cause) => cause.class(),
            _ => self.refusal.row().2,
        }
    }
}

impl Refused {
    /// What the errno of a failed write means for `options`, if it is a known one.
    pub(crate) fn of_write(source: &io::Error, options: &ConnectOptions) -> Option<Refused> {
        let errno = match source.raw_os_error()? {
            ERESTARTSYS => Errno::INTR,
            raw => Errno::from_raw_os_error(raw),
        };
        let Row(refusal, ..) = ROWS.iter().find(|row| row.1.contains(&errno))?;
        let proves = options.tokens().contains(TokenSet::DHCHAP_CTRL_SECRET);
        let refusal = match refusal {
            Refusal::Refused if proves => Refusal::RefusedOrUnproven,
            refusal => *refusal,
        };
        Some(Refused {
            address: options.address().clone(),
            ..Refused::new(refusal, options.nqn().clone())
        })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &Option<String>| text.clone().unwrap_or_default();
        let text = self.refusal.row().3;
        let text = text
            .replace("{nqn}", self.nqn.as_str())
            .replace("{host_traddr}", &shown(&self.address.host_traddr))
            .replace("{host_iface}", &shown(&self.address.host_iface))
            .replace("{explanation}", &self.explanation.to_string());
        f.write_str(&text)
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use nvme_sysfs::Transport;

    use super::*;
    use crate::ConnectError;
    use crate::fixture;
    use crate::refusal::RetryClass::{AlreadyConnected, Permanent, Transient};

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
            assert!(!error.to_string().contains('{'), "{errno}: {error}");
        }
    }

    #[test]
    fn every_refusal_has_one_row_and_no_errno_has_two() {
        let mut errnos: Vec<Errno> = ROWS.iter().flat_map(|row| row.1).copied().collect();
        let listed = errnos.len();
        errnos.sort_unstable_by_key(|errno| errno.raw_os_error());
        errnos.dedup();
        assert_eq!(errnos.len(), listed);
        let last = Refusal::Interrupted as usize;
        let rows: Vec<usize> = ROWS.iter().map(|row| row.0 as usize).collect();
        assert_eq!(rows, (0..=last).collect::<Vec<_>>());
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
