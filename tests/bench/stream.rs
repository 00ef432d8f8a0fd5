//! What a kernel shows and says when controllers reconnect: states in a tree, and captured uevents.

use std::error::Error;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};
use nvme_sysfs::UeventSocket;

/// Each datagram behind its length (32 bit, little endian): the disk changes, the controller is connected.
const CAPTURED: &[u8] = include_bytes!("../../fixtures/uevent/trixie-reconnect.bin");

/// Who changes the tree and speaks for the kernel.
#[derive(Debug)]
pub(crate) struct Stream {
    root: PathBuf,
    speaker: OwnedFd,
    listener: Option<UeventSocket>,
    datagrams: Vec<String>,
}

impl Stream {
    /// Of the controllers of a synthetic tree.
    pub(crate) fn of_reconnects(root: &Path) -> Result<Self, Box<dyn Error>> {
        let flags = SockFlag::SOCK_CLOEXEC;
        // It keeps datagrams apart, and holds more of them than a pair of datagram sockets.
        let kind = SockType::SeqPacket;
        let (speaker, listener) = socketpair(AddressFamily::Unix, kind, None, flags)?;
        Ok(Self {
            root: root.to_owned(),
            speaker,
            listener: Some(UeventSocket::replaying(listener)),
            datagrams: datagrams(CAPTURED)?,
        })
    }

    /// The other end, once.
    pub(crate) fn take_listener(&mut self) -> UeventSocket {
        self.listener.take().expect("it is taken once")
    }

    /// The first so many controllers lose their target. A kernel says nothing then; a change of a disk makes
    /// somebody look.
    pub(crate) fn lose(&self, count: u32) -> io::Result<()> {
        self.set_state(count, "connecting\n")?;
        match self.datagrams.first() {
            Some(first) => self.say(first, 0),
            None => Ok(()),
        }
    }

    /// They are connected again. The time is that of the first event.
    pub(crate) fn bring_back(&self, count: u32) -> io::Result<Instant> {
        self.set_state(count, "live\n")?;
        let began = Instant::now();
        for number in 0..count {
            for datagram in &self.datagrams {
                self.say(datagram, number)?;
            }
        }
        Ok(began)
    }

    fn set_state(&self, count: u32, state: &str) -> io::Result<()> {
        for number in 0..count {
            let controller = format!("sys/class/nvme/nvme{number}/state");
            fs::write(self.root.join(controller), state)?;
        }
        Ok(())
    }

    /// What was said of the first controller, of the one with this number.
    fn say(&self, datagram: &str, number: u32) -> io::Result<()> {
        let said = datagram
            .replace("nvme-subsys0", &format!("nvme-subsys{number}"))
            .replace("nvme0", &format!("nvme{number}"));
        send(self.speaker.as_raw_fd(), said.as_bytes(), MsgFlags::empty())?;
        Ok(())
    }
}

fn datagrams(mut captured: &[u8]) -> Result<Vec<String>, Box<dyn Error>> {
    let mut datagrams = Vec::new();
    while let Some((length, behind)) = captured.split_first_chunk() {
        let length = usize::try_from(u32::from_le_bytes(*length))?;
        let (datagram, behind) = behind.split_at_checked(length).ok_or("it was cut")?;
        datagrams.push(String::from_utf8(datagram.to_vec())?);
        captured = behind;
    }
    let is_connected = |datagram: &&String| datagram.contains("NVME_EVENT=connected");
    match datagrams.last().filter(is_connected) {
        Some(_) => Ok(datagrams),
        None => Err("the captured stream does not end with a connected controller".into()),
    }
}
