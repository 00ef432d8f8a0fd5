//! The kernel's uevents as they come, datagram by datagram.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

/// A listener on the kernel's group.
#[derive(Debug)]
pub(super) struct Uevents {
    socket: OwnedFd,
}

impl Uevents {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub(super) fn listen() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Datagram,
            flags,
            SockProtocol::NetlinkKObjectUEvent,
        )?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 1))?;
        Ok(Self { socket })
    }

    /// Everything of nvme and its disks, until nothing has come for a second: each datagram behind its length
    /// (32 bit, little endian).
    ///
    /// # Errors
    /// When the socket fails or overruns.
    pub(super) fn record(&self) -> io::Result<Vec<u8>> {
        let mut stream = Vec::new();
        let mut datagram = [0; 8192];
        loop {
            let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ready, PollTimeout::from(1000_u16))? == 0 {
                return Ok(stream);
            }
            match recv(self.socket.as_raw_fd(), &mut datagram, MsgFlags::empty()) {
                Ok(length) if is_nvme(&datagram[..length]) => {
                    let prefix = u32::try_from(length).map_err(io::Error::other)?;
                    stream.extend(prefix.to_le_bytes());
                    stream.extend(&datagram[..length]);
                }
                Ok(_) | Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

fn is_nvme(datagram: &[u8]) -> bool {
    let header = datagram.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(header).contains("nvme")
}
