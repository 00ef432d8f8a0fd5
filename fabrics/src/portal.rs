//! Dials a TCP portal from user space, before the kernel is asked to connect to it.
//!
//! The kernel makes one connect at a time on the whole host (`nvmf_dev_mutex`) and waits about 3 s
//! for a portal that does not answer: one dead portal would delay everybody else's connects. The
//! dial takes the same source address and interface as the kernel will, and sends nothing.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt::BindToDevice};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, netdevice, socket_with, sockopt,
};

use crate::numeric::NumericAddress;

/// Where a TCP controller listens, and from where it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portal {
    /// Address of the port.
    pub traddr: NumericAddress,
    /// TCP port.
    pub port: u16,
    /// Source address to dial from.
    pub host_traddr: Option<NumericAddress>,
    /// Interface to dial through.
    pub host_iface: Option<String>,
}

/// Why a portal cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The address answers, nobody listens on the port.
    #[error("portal {portal} refused the connection")]
    Refused {
        /// What was dialled.
        portal: String,
    },
    /// Nothing came back.
    #[error("portal {portal} did not answer within {timeout:?}")]
    NoAnswer {
        /// What was dialled.
        portal: String,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// No route, or a router said that there is no such host.
    #[error("portal {portal} is unreachable")]
    Unreachable {
        /// What was dialled.
        portal: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The source address is not one of this host.
    #[error("host_traddr {host_traddr} is not an address of this host")]
    SourceAddress {
        /// What was given.
        host_traddr: NumericAddress,
    },
    /// There is no such interface.
    #[error("network interface {interface} does not exist")]
    Interface {
        /// What was given as host_iface or behind `%`.
        interface: String,
    },
    /// A signal came in.
    #[error("dialling portal {portal} was interrupted by a signal")]
    Interrupted {
        /// What was dialled.
        portal: String,
    },
    /// Anything else.
    #[error("cannot dial portal {portal}")]
    Other {
        /// What was dialled.
        portal: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// `address:port`, with IPv6 addresses in brackets.
impl fmt::Display for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.traddr.ip() {
            IpAddr::V4(_) => write!(f, "{}:{}", self.traddr, self.port),
            IpAddr::V6(_) => write!(f, "[{}]:{}", self.traddr, self.port),
        }
    }
}

impl Portal {
    /// Opens a TCP connection within `timeout` and closes it again.
    ///
    /// # Errors
    /// Each cause has its variant. A signal that is caught ends the dial at once with
    /// [`DialError::Interrupted`]: nothing is left behind, so the caller may just end.
    pub fn dial(&self, timeout: Duration) -> Result<(), DialError> {
        let deadline = Instant::now() + timeout;
        let socket = self.socket()?;
        match connect(
            &socket,
            &self.socket_addr(&socket, &self.traddr, self.port)?,
        ) {
            Ok(()) => return Ok(()),
            Err(Errno::INPROGRESS) => {}
            Err(errno) => return Err(self.error(errno, timeout)),
        }
        self.wait(&socket, deadline, timeout)?;
        let outcome = sockopt::socket_error(&socket).and_then(|outcome| outcome);
        outcome.map_err(|errno| self.error(errno, timeout))
    }

    /// A socket bound as the kernel will bind its own.
    fn socket(&self) -> Result<OwnedFd, DialError> {
        let family = match self.traddr.ip() {
            IpAddr::V4(_) => AddressFamily::INET,
            IpAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))
            .map_err(|errno| self.other(errno))?;
        if let Some(interface) = &self.host_iface {
            setsockopt(&socket, BindToDevice, &interface.into()).map_err(|errno| {
                if errno == nix::errno::Errno::ENODEV {
                    let interface = interface.clone();
                    return DialError::Interface { interface };
                }
                self.other(errno)
            })?;
        }
        if let Some(source) = &self.host_traddr {
            let address = self.socket_addr(&socket, source, 0)?;
            bind(&socket, &address).map_err(|errno| {
                if errno == Errno::ADDRNOTAVAIL {
                    let host_traddr = source.clone();
                    return DialError::SourceAddress { host_traddr };
                }
                self.other(errno)
            })?;
        }
        Ok(socket)
    }

    /// The address with its interface name turned into the index that the socket wants.
    fn socket_addr(
        &self,
        socket: &OwnedFd,
        address: &NumericAddress,
        port: u16,
    ) -> Result<SocketAddr, DialError> {
        let v6 = |ip: Ipv6Addr, scope: u32| SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope));
        match (address.ip(), address.scope()) {
            (IpAddr::V4(ip), _) => Ok(SocketAddr::V4(SocketAddrV4::new(ip, port))),
            (IpAddr::V6(ip), None) => Ok(v6(ip, 0)),
            (IpAddr::V6(ip), Some(name)) => match netdevice::name_to_index(socket, name) {
                Ok(index) => Ok(v6(ip, index)),
                Err(Errno::NODEV) => Err(DialError::Interface {
                    interface: name.to_owned(),
                }),
                Err(errno) => Err(self.other(errno)),
            },
        }
    }

    /// Waits until the connection is made or has failed.
    fn wait(
        &self,
        socket: &OwnedFd,
        deadline: Instant,
        timeout: Duration,
    ) -> Result<(), DialError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| self.other(Errno::INVAL))?;
        match poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&left)) {
            Ok(0) => Err(self.error(Errno::TIMEDOUT, timeout)),
            Ok(_) => Ok(()),
            Err(errno) => Err(self.error(errno, timeout)),
        }
    }

    /// What the kernel's answer to the connection attempt means.
    fn error(&self, errno: Errno, timeout: Duration) -> DialError {
        let portal = self.to_string();
        match errno {
            Errno::CONNREFUSED => DialError::Refused { portal },
            Errno::TIMEDOUT => DialError::NoAnswer { portal, timeout },
            Errno::INTR => DialError::Interrupted { portal },
            Errno::HOSTUNREACH | Errno::NETUNREACH => DialError::Unreachable {
                portal,
                source: errno.into(),
            },
            _ => self.other(errno),
        }
    }

    fn other(&self, errno: impl Into<io::Error>) -> DialError {
        DialError::Other {
            portal: self.to_string(),
            source: errno.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn portal(traddr: &str, port: u16) -> Portal {
        Portal {
            traddr: traddr.parse().expect("an address"),
            port,
            host_traddr: None,
            host_iface: None,
        }
    }

    /// A listener on a free port of `ip`.
    fn listener(ip: &str) -> (TcpListener, u16) {
        let listener = TcpListener::bind((ip, 0)).expect("a loopback address");
        let port = listener.local_addr().expect("a bound socket").port();
        (listener, port)
    }

    #[test]
    fn a_listening_portal_is_reached_from_the_given_address() {
        let (listener, port) = listener("127.0.0.1");
        let mut portal = portal("127.0.0.1", port);
        portal.host_traddr = Some("127.0.0.9".parse().expect("an address"));
        portal.dial(TIMEOUT).expect("the listener answers");
        let (_, peer) = listener.accept().expect("the dialled connection");
        assert_eq!(peer.ip().to_string(), "127.0.0.9");
    }

    #[test]
    fn a_port_without_listener_refuses() {
        let (listener, port) = listener("127.0.0.1");
        drop(listener);
        let error = portal("127.0.0.1", port).dial(TIMEOUT).expect_err("closed");
        assert_eq!(
            error.to_string(),
            format!("portal 127.0.0.1:{port} refused the connection")
        );
    }

    #[test]
    fn a_portal_that_accepts_nothing_more_runs_into_the_deadline() {
        // Linux drops the SYN when the queue of connections not yet accepted is full.
        let socket =
            rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        rustix::net::listen(&socket, 0).expect("a listener");
        let name = rustix::net::getsockname(&socket).expect("a bound socket");
        let port = SocketAddr::try_from(name).expect("an IP address").port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let _first = std::net::TcpStream::connect(address).expect("room for one");
        let portal = portal("127.0.0.1", port);
        let error = portal
            .dial(Duration::from_millis(200))
            .expect_err("no room for another");
        assert!(matches!(error, DialError::NoAnswer { .. }), "{error:?}");
        assert!(error.to_string().ends_with("within 200ms"), "{error}");
    }

    #[test]
    fn a_foreign_source_address_is_named() {
        let mut portal = portal("127.0.0.1", 4420);
        portal.host_traddr = Some("192.0.2.77".parse().expect("an address"));
        let error = portal.dial(TIMEOUT).expect_err("not our address");
        assert_eq!(
            error.to_string(),
            "host_traddr 192.0.2.77 is not an address of this host"
        );
    }

    #[test]
    fn an_unknown_interface_is_named() {
        let mut by_name = portal("127.0.0.1", 4420);
        by_name.host_iface = Some("no-such-iface".to_owned());
        let by_scope = portal("fe80::1%no-such-iface", 4420);
        for portal in [by_name, by_scope] {
            let error = portal.dial(TIMEOUT).expect_err("no such interface");
            assert_eq!(
                error.to_string(),
                "network interface no-such-iface does not exist"
            );
        }
    }

    #[test]
    fn an_ipv6_portal_is_shown_in_brackets() {
        let shown = portal("0:0::1", 4420).to_string();
        assert_eq!(shown, "[::1]:4420");
    }
}
