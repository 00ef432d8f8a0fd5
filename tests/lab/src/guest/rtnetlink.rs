//! Requests of route netlink, as `netlink(7)` and `rtnetlink(7)` lay them out: a header, a fixed part for the kind of
//! request, attributes. All numbers are in the machine's own byte order.
//!
//! Only what the lab asks for; building a request is pure.

use std::io;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send,
    socket,
};

/// `struct nlmsghdr`: length, kind, flags, sequence number, port.
const HEADER: usize = 16;
/// Where the error stands in an `NLMSG_ERROR`: right behind the header.
const ERROR: std::ops::Range<usize> = HEADER..HEADER + 4;
/// The answer repeats the request behind the error.
const ANSWER: usize = 4096;

/// One request, to be answered with an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    kind: u16,
    flags: libc::c_int,
    body: Vec<u8>,
}

impl Request {
    /// A request of a kind (`RTM_…`) about something that exists.
    pub(super) fn change(kind: u16, body: Vec<u8>) -> Self {
        Self {
            kind,
            flags: 0,
            body,
        }
    }

    /// A request that makes something; what is there already is an error.
    pub(super) fn make(kind: u16, body: Vec<u8>) -> Self {
        Self {
            kind,
            flags: libc::NLM_F_CREATE | libc::NLM_F_EXCL,
            body,
        }
    }

    /// Sends it to the kernel, in the network namespace of this thread.
    ///
    /// # Errors
    /// The kernel's own, and what is no acknowledgement.
    pub(super) fn send(&self) -> io::Result<()> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        let kernel = NetlinkAddr::new(0, 0);
        connect(socket.as_raw_fd(), &kernel)?;
        send(socket.as_raw_fd(), &self.bytes(), MsgFlags::empty())?;
        let mut answer = [0; ANSWER];
        let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        acknowledged(&answer[..length])
    }

    fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(HEADER + self.body.len()).expect("a request is short");
        let flags = self.flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK;
        let flags = u16::try_from(flags).expect("the header has 16 bits of flags");
        [
            length.to_ne_bytes().as_slice(),
            &self.kind.to_ne_bytes(),
            &flags.to_ne_bytes(),
            // Sequence number and port: there is one request on this socket.
            &[0; 8],
            &self.body,
        ]
        .concat()
    }
}

/// `struct ifinfomsg`, and attributes: a link by its index (0 for one that is to be made), with its flags and which of
/// them are meant.
pub(super) fn link(index: u32, flags: u32, change: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![0; 4];
    for number in [index, flags, change] {
        body.extend(number.to_ne_bytes());
    }
    body.extend(attributes.concat());
    body
}

/// `struct ifaddrmsg`, and attributes.
pub(super) fn address(family: u8, prefix: u8, index: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![family, prefix, 0, 0];
    body.extend(index.to_ne_bytes());
    body.extend(attributes.concat());
    body
}

/// `struct rtmsg`, and attributes: a route to everywhere in the main table, made by an administrator.
pub(super) fn default_route(family: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
    let (table, protocol) = (libc::RT_TABLE_MAIN, libc::RTPROT_STATIC);
    let (scope, kind) = (libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST);
    let mut body = vec![family, 0, 0, 0, table, protocol, scope, kind];
    body.extend([0; 4]);
    body.extend(attributes.concat());
    body
}

/// `struct rtattr`: length and kind, then the value, filled up to four bytes.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("a value is short");
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An attribute that holds others.
pub(super) fn nested(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind, &attributes.concat())
}

/// An attribute that is a name.
pub(super) fn name(kind: u16, name: &str) -> Vec<u8> {
    attribute(kind, &[name.as_bytes(), b"\0"].concat())
}

/// An acknowledgement is an `NLMSG_ERROR` with error 0; errors are negative.
fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok());
    let error = answer.get(ERROR).and_then(|bytes| bytes.try_into().ok());
    match (kind.map(u16::from_ne_bytes), error.map(i32::from_ne_bytes)) {
        (Some(kind), Some(0)) if i32::from(kind) == libc::NLMSG_ERROR => Ok(()),
        (Some(kind), Some(error)) if i32::from(kind) == libc::NLMSG_ERROR => {
            Err(io::Error::from_raw_os_error(error.saturating_neg()))
        }
        _ => Err(io::Error::other(format!(
            "unexpected netlink answer {answer:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What iproute2 sends for `ip link set dev lo up`, but for its sequence number.
    #[cfg(target_endian = "little")]
    #[test]
    fn a_request_is_header_body_and_filled_up_attributes() {
        let up = Request::change(libc::RTM_NEWLINK, link(1, 1, 1, &[name(3, "lo")]));
        let expected = [
            [40, 0, 0, 0, 16, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0].as_slice(),
            &[0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
            &[7, 0, 3, 0, b'l', b'o', 0, 0],
        ];
        assert_eq!(up.bytes(), expected.concat());
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn what_is_made_must_not_be_there_and_nested_attributes_count_their_filling() {
        let made = Request::make(libc::RTM_NEWLINK, nested(18, &[attribute(1, b"veth")]));
        let expected = [
            [28, 0, 0, 0, 16, 0, 5, 6, 0, 0, 0, 0, 0, 0, 0, 0].as_slice(),
            &[12, 0, 18, 0, 8, 0, 1, 0, b'v', b'e', b't', b'h'],
        ];
        assert_eq!(made.bytes(), expected.concat());
    }

    #[test]
    fn the_kernels_error_is_told_and_what_is_no_answer_is_one() {
        let answer = |error: i32| {
            let mut bytes = vec![0; HEADER];
            bytes[4..6].copy_from_slice(&2_u16.to_ne_bytes());
            bytes.extend(error.to_ne_bytes());
            bytes
        };
        assert!(acknowledged(&answer(0)).is_ok());
        let refused = acknowledged(&answer(-libc::EEXIST)).expect_err("an error");
        assert_eq!(refused.raw_os_error(), Some(libc::EEXIST));
        let mut other = answer(0);
        other[4] = 3;
        for bytes in [other.as_slice(), &[], &[0; 17]] {
            assert!(acknowledged(bytes).is_err(), "{bytes:?}");
        }
    }
}
