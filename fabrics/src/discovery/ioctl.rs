//! Get Log Page through the passthrough ioctl of `/dev/nvmeN`.
//!
//! `NVME_IOCTL_ADMIN_CMD` with `struct nvme_passthru_cmd` (include/uapi/linux/nvme_ioctl.h). The
//! kernel wants CAP_SYS_ADMIN for it. This file is the crate's only unsafe code.

use std::ffi::c_void;
use std::fs::File;
use std::io;

use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};

/// `NVME_IOCTL_ADMIN_CMD`, `_IOWR('N', 0x41, struct nvme_passthru_cmd)`.
const ADMIN_CMD: Opcode = opcode::read_write::<PassthruCmd>(b'N', 0x41);

/// Opcode of Get Log Page.
const GET_LOG_PAGE: u8 = 0x02;

/// LID of the discovery log.
const DISCOVERY_LID: u32 = 0x70;

/// Whether the controller goes on announcing changes of the log after this read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AsyncEvent {
    /// The event stays as it is (RAE 1).
    Retain,
    /// It is cleared and armed again (RAE 0).
    Rearm,
}

/// `struct nvme_passthru_cmd`.
#[repr(C)]
#[derive(Debug, Default)]
struct PassthruCmd {
    opcode: u8,
    flags: u8,
    rsvd1: u16,
    nsid: u32,
    cdw2: u32,
    cdw3: u32,
    metadata: u64,
    addr: u64,
    metadata_len: u32,
    data_len: u32,
    cdw10: u32,
    cdw11: u32,
    cdw12: u32,
    cdw13: u32,
    cdw14: u32,
    cdw15: u32,
    timeout_ms: u32,
    result: u32,
}

/// A command and the buffer its `addr` points to.
struct GetLogPage<'a> {
    command: PassthruCmd,
    // Keeps the buffer borrowed for as long as the kernel may write to it.
    _buffer: &'a mut [u8],
}

/// Reads `buffer.len()` bytes of the discovery log from `offset` on. Both are multiples of 4.
///
/// Returns the status of the command, 0 for success: type in bits 10:8, code in bits 7:0.
pub(crate) fn get_discovery_log(
    device: &File,
    offset: u64,
    buffer: &mut [u8],
    event: AsyncEvent,
) -> io::Result<u16> {
    let command = command(offset, buffer, event)?;
    let request = GetLogPage {
        command,
        _buffer: buffer,
    };
    #[expect(unsafe_code, reason = "an ioctl has no safe form")]
    // SAFETY: the opcode belongs to PassthruCmd, which has the kernel's layout (see the test),
    // and addr and data_len describe a buffer that `request` borrows exclusively.
    let status = unsafe { ioctl(device, request) }?;
    u16::try_from(status).map_err(io::Error::other)
}

/// The command words of Get Log Page.
fn command(offset: u64, buffer: &mut [u8], event: AsyncEvent) -> io::Result<PassthruCmd> {
    let len = u32::try_from(buffer.len()).map_err(io::Error::other)?;
    let numd = (len / 4)
        .checked_sub(1)
        .ok_or(io::ErrorKind::InvalidInput)?;
    let rae = match event {
        AsyncEvent::Retain => 1 << 15,
        AsyncEvent::Rearm => 0,
    };
    let [low, high] = [offset & 0xffff_ffff, offset >> 32];
    Ok(PassthruCmd {
        opcode: GET_LOG_PAGE,
        addr: u64::try_from(buffer.as_mut_ptr().addr()).map_err(io::Error::other)?,
        data_len: len,
        cdw10: DISCOVERY_LID | rae | (numd & 0xffff) << 16,
        cdw11: numd >> 16,
        cdw12: u32::try_from(low).map_err(io::Error::other)?,
        cdw13: u32::try_from(high).map_err(io::Error::other)?,
        ..PassthruCmd::default()
    })
}

#[expect(
    unsafe_code,
    reason = "rustix's trait for an ioctl is unsafe to implement"
)]
// SAFETY: the opcode and the pointer are a pair of the kernel's interface; the kernel writes to
// the struct (`result`) and to the borrowed buffer, so the call is marked as mutating.
unsafe impl Ioctl for GetLogPage<'_> {
    type Output = IoctlOutput;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        ADMIN_CMD
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.command).cast()
    }

    unsafe fn output_from_ptr(
        status: IoctlOutput,
        _: *mut c_void,
    ) -> rustix::io::Result<IoctlOutput> {
        Ok(status)
    }
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    #[test]
    fn the_struct_and_its_number_are_the_kernels() {
        assert_eq!(size_of::<PassthruCmd>(), 72);
        assert_eq!(ADMIN_CMD, 0xC048_4E41);
        let offsets = [
            (offset_of!(PassthruCmd, nsid), 4),
            (offset_of!(PassthruCmd, addr), 24),
            (offset_of!(PassthruCmd, data_len), 36),
            (offset_of!(PassthruCmd, cdw10), 40),
            (offset_of!(PassthruCmd, timeout_ms), 64),
            (offset_of!(PassthruCmd, result), 68),
        ];
        for (found, expected) in offsets {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_command_words_carry_length_offset_and_event() {
        let mut buffer = [0; 4096];
        let words = command(0x1_0000_0400, &mut buffer, AsyncEvent::Retain).expect("a command");
        assert_eq!(words.opcode, 0x02);
        assert_eq!(words.data_len, 4096);
        assert_eq!(words.cdw10, 0x03ff_8070);
        assert_eq!((words.cdw11, words.cdw12, words.cdw13), (0, 0x400, 1));
        let words = command(0, &mut buffer[..20], AsyncEvent::Rearm).expect("a command");
        assert_eq!(words.cdw10, 0x0004_0070);
        assert!(command(0, &mut [], AsyncEvent::Rearm).is_err());
    }

    #[test]
    fn a_file_that_is_no_controller_answers_an_error() {
        let file = tempfile::tempfile().expect("a file");
        let error = get_discovery_log(&file, 0, &mut [0; 20], AsyncEvent::Retain);
        let error = error.expect_err("a plain file has no such ioctl");
        assert_eq!(error.raw_os_error(), Some(25), "ENOTTY");
    }
}
