//! The discovery log page, read by the kernel's passthrough ioctl.
//!
//! Source: `include/uapi/linux/nvme_ioctl.h`; NVM Express Base Specification 2.0, section 5.16.1.23.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// `struct nvme_passthru_cmd`.
#[repr(C)]
#[derive(Debug, Default)]
struct PassthroughCommand {
    opcode: u8,
    flags: u8,
    reserved: u16,
    namespace: u32,
    dword_2: u32,
    dword_3: u32,
    metadata: u64,
    address: u64,
    metadata_length: u32,
    data_length: u32,
    dwords_10_to_15: [u32; 6],
    timeout_milliseconds: u32,
    result: u32,
}

/// `NVME_IOCTL_ADMIN_CMD`, `_IOWR('N', 0x41, struct nvme_passthru_cmd)`.
const ADMIN_COMMAND: libc::Ioctl = 0xC048_4E41;
const GET_LOG_PAGE: u8 = 0x02;
const DISCOVERY_LOG: u32 = 0x70;

/// The first `bytes` (at most 4096) of the log of a live discovery controller.
pub(super) fn discovery_log(controller: &str, bytes: u32) -> io::Result<Vec<u8>> {
    let device = File::open(format!("/dev/{controller}"))?;
    let mut log = vec![0_u8; usize::try_from(bytes).map_err(io::Error::other)?];
    let mut command = PassthroughCommand {
        opcode: GET_LOG_PAGE,
        address: log.as_mut_ptr().expose_provenance() as u64,
        data_length: bytes,
        ..PassthroughCommand::default()
    };
    command.dwords_10_to_15[0] = DISCOVERY_LOG | (bytes / 4 - 1) << 16;
    // SAFETY: the command and the buffer it points to live until the call returns, and the kernel writes at most
    // `data_length` bytes, which is the buffer's size.
    #[expect(unsafe_code, reason = "an ioctl takes a pointer")]
    let status = unsafe { libc::ioctl(device.as_raw_fd(), ADMIN_COMMAND, &raw mut command) };
    match status {
        0 => Ok(log),
        -1 => Err(io::Error::last_os_error()),
        status => Err(io::Error::other(format!("NVMe status {status:#x}"))),
    }
}
