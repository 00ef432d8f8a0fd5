//! A TCP socket for those who ask at any address of this host, be it of IPv4 or of IPv6.
//!
//! kubelet probes a pod at its first address, which is one of IPv6 in some clusters.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use rustix::net::sockopt::set_ipv6_v6only;
use tokio::net::{TcpListener, TcpSocket};

/// How many connections wait to be accepted.
const BACKLOG: u32 = 1024;

/// Listens at an address. `[::]` is any address, of IPv4 too, and on a host without IPv6 that one.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    bind_by(address, open)
}

fn bind_by<T>(address: SocketAddr, open: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    match open(address) {
        Err(error) if is_any(address) && has_no_ipv6(&error) => {
            open((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        opened => opened,
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // As std does: connections that ended a moment ago are in nobody's way.
    socket.set_reuseaddr(true)?;
    if is_any(address) {
        // The host may have net.ipv6.bindv6only=1.
        set_ipv6_v6only(&socket, false)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn is_any(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

/// What the kernel answers with `ipv6.disable=1`, or without the protocol.
fn has_no_ipv6(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which address is listened at on a host where that of IPv6 fails so.
    fn bound(address: &str, error: i32) -> io::Result<SocketAddr> {
        let address = address.parse().expect("an address");
        bind_by(address, |address: SocketAddr| match address {
            SocketAddr::V4(_) => Ok(address),
            SocketAddr::V6(_) => Err(io::Error::from_raw_os_error(error)),
        })
    }

    #[test]
    fn without_ipv6_any_address_is_one_of_ipv4() {
        let found = bound("[::]:9809", libc::EAFNOSUPPORT).expect("a socket");
        assert_eq!(found, "0.0.0.0:9809".parse().expect("an address"));
    }

    #[test]
    fn another_error_and_another_address_stay_what_they_are() {
        for (address, error) in [
            ("[::]:9809", libc::EADDRINUSE),
            ("[::1]:9809", libc::EAFNOSUPPORT),
        ] {
            let found = bound(address, error).expect_err("no socket");
            assert_eq!(found.raw_os_error(), Some(error), "{address}");
        }
    }
}
