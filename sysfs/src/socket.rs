//! The kernel's uevents as they happen: a netlink socket of the protocol `NETLINK_KOBJECT_UEVENT`.
//!
//! Invariant: only datagrams that the kernel itself sent count; any other process could write what it likes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, recvfrom,
    setsockopt, socket,
};

use crate::uevent::Uevent;

/// The multicast group in which the kernel speaks; udev repeats in another one what it made of it.
const KERNEL_GROUP: u32 = 1;

/// Bytes of events that may wait: thousands, as hundreds of namespaces come and go at once. Memory is taken only when
/// they do wait.
const RECEIVE_BUFFER: usize = 16 << 20;

/// Longest datagram: properties of 2 KiB (`UEVENT_BUFFER_SIZE`, include/linux/kobject.h) behind a path of 4 KiB at most.
const DATAGRAM: usize = 8 << 10;

/// A socket that hears every uevent of the kernel, of all subsystems. Any user may open one, but events reach only
/// network namespaces that belong to the initial user namespace.
#[derive(Debug)]
pub struct UeventSocket {
    fd: OwnedFd,
    sender: Sender,
}

/// Whose datagrams count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    /// The kernel's, by the address that they come from.
    Kernel,
    /// Those of whoever holds the other end.
    Peer,
}

/// What a wait on the socket brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// An event.
    Uevent(Uevent),
    /// Events were lost: not read in time, or malformed. Only a rescan tells what is true now.
    Overrun,
    /// The deadline passed.
    TimedOut,
}

/// Why the socket cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UeventSocketError {
    /// A system call failed.
    #[error("uevent socket: {call} failed")]
    Call {
        /// Name of the system call.
        call: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl UeventSocket {
    /// Opens the socket; events count from now on.
    ///
    /// # Errors
    /// [`UeventSocketError::Call`] if the kernel refuses.
    pub fn open() -> Result<Self, UeventSocketError> {
        Self::join(KERNEL_GROUP)
    }

    /// One end of a pair of sockets that keep datagrams apart. Whoever holds the other end repeats what a kernel once
    /// sent, an event per datagram, and is believed: for measurements on captured streams.
    #[must_use]
    pub fn replaying(fd: OwnedFd) -> Self {
        Self {
            fd,
            sender: Sender::Peer,
        }
    }

    /// Waits for one event, until the deadline if there is one. A deadline that has passed takes what is there.
    ///
    /// # Errors
    /// [`UeventSocketError::Call`] if the socket is of no use any more. A signal is no error, the wait goes on.
    pub fn receive(&self, deadline: Option<Instant>) -> Result<Received, UeventSocketError> {
        loop {
            if let Some(received) = self.take()? {
                return Ok(received);
            }
            let remaining =
                deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if remaining.is_some_and(|remaining| remaining.is_zero()) {
                return Ok(Received::TimedOut);
            }
            let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, remaining.map_or(PollTimeout::NONE, timeout)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed("poll", errno)),
            }
        }
    }

    fn join(groups: u32) -> Result<Self, UeventSocketError> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkKObjectUEvent;
        let fd = socket(AddressFamily::Netlink, SockType::Datagram, flags, protocol)
            .map_err(|errno| failed("socket", errno))?;
        // Without CAP_NET_ADMIN the kernel gives as much as net.core.rmem_max allows.
        setsockopt(&fd, RcvBufForce, &RECEIVE_BUFFER)
            .or_else(|_| setsockopt(&fd, RcvBuf, &RECEIVE_BUFFER))
            .map_err(|errno| failed("setsockopt", errno))?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))
            .map_err(|errno| failed("bind", errno))?;
        Ok(Self {
            fd,
            sender: Sender::Kernel,
        })
    }

    /// What is there now; `None` if nothing is, or nothing that counts.
    fn take(&self) -> Result<Option<Received>, UeventSocketError> {
        match self.sender {
            Sender::Kernel => self.take_from_kernel(),
            Sender::Peer => self.take_from_peer(),
        }
    }

    fn take_from_kernel(&self) -> Result<Option<Received>, UeventSocketError> {
        let mut datagram = [0; DATAGRAM];
        match recvfrom::<NetlinkAddr>(self.fd.as_raw_fd(), &mut datagram) {
            Ok((length, Some(sender))) if sender.pid() == 0 => {
                Ok(Some(received(&datagram[..length])))
            }
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(Errno::ENOBUFS) => Ok(Some(Received::Overrun)),
            Err(errno) => Err(failed("recvfrom", errno)),
        }
    }

    fn take_from_peer(&self) -> Result<Option<Received>, UeventSocketError> {
        let mut datagram = [0; DATAGRAM];
        match recv(self.fd.as_raw_fd(), &mut datagram, MsgFlags::MSG_DONTWAIT) {
            // No event is empty: the other end is closed.
            Ok(0) => Err(failed("recv", Errno::EPIPE)),
            Ok(length) => Ok(Some(received(&datagram[..length]))),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(failed("recv", errno)),
        }
    }
}

impl AsFd for UeventSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What a datagram of the kernel says. Its texts come from devices of every kind, and a Bluetooth name that was cut within
/// a character is no reason to give up the wait for a disk.
fn received(datagram: &[u8]) -> Received {
    Uevent::parse(datagram).map_or(Received::Overrun, Received::Uevent)
}

/// Milliseconds, rounded up so that the wait does not end early; the longest possible wait where they are too many.
fn timeout(remaining: Duration) -> PollTimeout {
    let rounded = remaining.saturating_add(Duration::from_nanos(999_999));
    PollTimeout::try_from(rounded).unwrap_or(PollTimeout::MAX)
}

fn failed(call: &'static str, errno: Errno) -> UeventSocketError {
    UeventSocketError::Call {
        call,
        source: errno.into(),
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{getsockname, send as send_to_peer, sendto, socketpair};

    use super::*;

    /// A group in which nobody speaks but the test.
    const QUIET_GROUP: u32 = 1 << 30;

    const EVENT: &[u8] = b"add@/devices/x\0ACTION=add\0";

    /// Sends as an ordinary process, which the kernel allows with CAP_NET_ADMIN only.
    fn send(times: usize) -> nix::Result<usize> {
        let sender = UeventSocket::join(0).expect("a sender");
        let everybody = NetlinkAddr::new(0, QUIET_GROUP);
        let mut sent = 0;
        for _ in 0..times {
            sent += sendto(sender.fd.as_raw_fd(), EVENT, &everybody, MsgFlags::empty())?;
        }
        Ok(sent)
    }

    #[test]
    fn a_deadline_that_has_passed_returns_at_once() {
        let socket = UeventSocket::join(QUIET_GROUP).expect("a socket");
        assert_eq!(
            socket.receive(Some(Instant::now())).expect("no error"),
            Received::TimedOut
        );
    }

    #[test]
    fn the_wait_lasts_to_the_deadline_and_not_less() {
        let socket = UeventSocket::join(QUIET_GROUP).expect("a socket");
        let deadline = Instant::now() + Duration::from_millis(20);
        assert_eq!(
            socket.receive(Some(deadline)).expect("no error"),
            Received::TimedOut
        );
        assert!(Instant::now() >= deadline);
    }

    #[test]
    fn a_socket_of_the_kernel_group_can_be_opened_by_any_user() {
        let socket = UeventSocket::open().expect("a socket");
        let name: NetlinkAddr = getsockname(socket.as_fd().as_raw_fd()).expect("its name");
        assert_eq!(name.groups(), KERNEL_GROUP);
    }

    #[test]
    fn an_event_that_a_process_sent_does_not_count() {
        let socket = UeventSocket::join(QUIET_GROUP).expect("a socket");
        match send(1) {
            Ok(sent) => assert_eq!(sent, EVENT.len()),
            Err(errno) => assert_eq!(errno, Errno::EPERM),
        }
        let deadline = Instant::now() + Duration::from_millis(20);
        assert_eq!(
            socket.receive(Some(deadline)).expect("no error"),
            Received::TimedOut
        );
    }

    #[test]
    fn events_that_nobody_reads_end_in_an_overrun() {
        let socket = UeventSocket::join(QUIET_GROUP).expect("a socket");
        setsockopt(&socket, RcvBuf, &1).expect("the smallest buffer there is");
        let expected = match send(1_000) {
            Ok(_) => Received::Overrun,
            Err(errno) => {
                assert_eq!(errno, Errno::EPERM);
                Received::TimedOut
            }
        };
        assert_eq!(
            socket.receive(Some(Instant::now())).expect("no error"),
            expected
        );
    }

    #[test]
    fn what_the_other_end_of_a_pair_repeats_counts_until_it_is_closed() {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
            .expect("a pair of sockets");
        let socket = UeventSocket::replaying(ours);
        let receive = || socket.receive(Some(Instant::now()));
        assert_eq!(receive().expect("no error"), Received::TimedOut);
        for _ in 0..2 {
            send_to_peer(theirs.as_raw_fd(), EVENT, MsgFlags::empty()).expect("sent");
        }
        for _ in 0..2 {
            let event = receive().expect("no error");
            assert!(matches!(event, Received::Uevent(_)), "{event:?}");
        }
        assert_eq!(receive().expect("no error"), Received::TimedOut);
        drop(theirs);
        assert!(receive().is_err());
    }

    #[test]
    fn an_event_that_is_not_text_counts_as_lost() {
        assert!(matches!(received(EVENT), Received::Uevent(_)));
        let cut = b"add@/devices/x\0HID_NAME=Maus \xc3\0";
        assert_eq!(received(cut), Received::Overrun);
    }

    #[test]
    fn a_wait_of_a_hundred_days_is_as_long_as_poll_can() {
        assert_eq!(timeout(Duration::from_secs(8_640_000)), PollTimeout::MAX);
        assert_eq!(timeout(Duration::from_nanos(1)), PollTimeout::from(1_u8));
    }
}
