//! The bare conversation with `/dev/nvme-fabrics`: one write, one read.
//!
//! The write blocks for the whole connect, and while it does nobody else on the host can connect.
//! It waits partly uninterruptibly: a caller with a deadline gives it a thread of its own.

use std::io::{self, ErrorKind, Read, Write};

use crate::error::ConnectError;
use crate::options::ConnectOptions;
use crate::reply::Reply;

/// Longer than any reply.
const MAX_REPLY: usize = 128;

/// Writes the options to `device`, freshly opened, and reads the reply.
///
/// Close the device at once after it: while it stays open, a deleted controller keeps its number.
///
/// # Errors
/// What the kernel's errno means. For a bare `EIO` or `EINVAL` the explanation is
/// [`NotAsked`](crate::Explanation::NotAsked): [`Fabrics::connect`](crate::Fabrics::connect)
/// looks for it.
pub fn connect<D: Read + Write>(
    device: &mut D,
    options: &ConnectOptions,
) -> Result<Reply, ConnectError> {
    let text = options.encode();
    let failed = |error| ConnectError::from_write(error, options);
    // Never write_all: the rest of a partly taken text would be a second request.
    let written = device.write(text.as_bytes()).map_err(failed)?;
    if written != text.as_bytes().len() {
        return Err(failed(io::Error::from(ErrorKind::WriteZero)));
    }
    let mut reply = [0; MAX_REPLY];
    let len = device.read(&mut reply).map_err(ConnectError::ReadReply)?;
    Ok(Reply::parse(&String::from_utf8_lossy(&reply[..len]))?)
}

#[cfg(test)]
mod tests {
    use nvme_sysfs::{Instance, Transport};

    use super::*;
    use crate::fixture;
    use crate::open::open_device;

    /// A device that takes `room` bytes of one write and answers one read.
    struct FakeDevice {
        room: usize,
        written: Vec<u8>,
        reply: &'static [u8],
    }

    impl FakeDevice {
        fn answering(reply: &'static [u8]) -> FakeDevice {
            FakeDevice {
                room: 4096,
                written: Vec::new(),
                reply,
            }
        }
    }

    impl Write for FakeDevice {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // The kernel refuses a second request on the same descriptor.
            if !self.written.is_empty() {
                return Err(io::Error::from_raw_os_error(22));
            }
            let taken = bytes.len().min(self.room);
            self.written.extend(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for FakeDevice {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.reply.read(buffer)
        }
    }

    fn options() -> ConnectOptions {
        let builder = fixture::options(Transport::Loop);
        builder.build().expect("valid options")
    }

    #[test]
    fn the_whole_text_goes_in_one_write_and_the_reply_comes_back() {
        let mut device = FakeDevice::answering(b"instance=3,cntlid=7\n");
        let reply = connect(&mut device, &options()).expect("a reply");
        assert_eq!((reply.instance, reply.cntlid), (Instance(3), Some(7)));
        assert_eq!(device.written, options().encode().as_bytes());
    }

    #[test]
    fn a_write_taken_in_part_is_not_continued() {
        let mut device = FakeDevice::answering(b"instance=3,cntlid=7\n");
        device.room = 10;
        let error = connect(&mut device, &options()).expect_err("a short write");
        assert!(matches!(error, ConnectError::Other { .. }), "{error:?}");
        assert_eq!(device.written.len(), 10);
    }

    #[test]
    fn a_reply_that_is_none_is_an_error() {
        for reply in [b"".as_slice(), b"instance=-1,cntlid=-1\n", b"\xff\xfe"] {
            let mut device = FakeDevice::answering(reply);
            let error = connect(&mut device, &options()).expect_err("no reply");
            assert!(matches!(error, ConnectError::Reply(_)), "{error:?}");
        }
    }

    #[test]
    fn a_missing_device_names_the_module() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let error = open_device(root.path()).expect_err("no device");
        assert!(
            error.to_string().ends_with(
                "dev/nvme-fabrics does not exist: the kernel module nvme_fabrics is not loaded"
            ),
            "{error}"
        );
    }
}
