//! The protocol channel: the second serial port, lines of text from the guest to the host.
//!
//! The first port is the kernel's console, so that a kernel message never cuts a line of ours.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};

use nix::sys::termios::{SetArg, cfmakeraw, tcdrain, tcgetattr, tcsetattr};

use super::context;

/// The open port, in raw mode: a line feed stays a line feed.
#[derive(Debug)]
pub struct Channel {
    port: File,
}

impl Channel {
    /// The device of the second port.
    pub const DEVICE: &str = "/dev/ttyS1";

    /// Opens the port.
    ///
    /// # Errors
    /// When the guest was booted without a second port.
    pub fn open() -> io::Result<Self> {
        let port = context(OpenOptions::new().write(true).open(Self::DEVICE), || {
            format!("open {}", Self::DEVICE)
        })?;
        let mut settings = tcgetattr(&port)?;
        cfmakeraw(&mut settings);
        tcsetattr(&port, SetArg::TCSANOW, &settings)?;
        Ok(Self { port })
    }

    /// Sends text as one or more lines.
    ///
    /// # Errors
    /// When the port is gone.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.port.write_all(format!("{text}\n").as_bytes())
    }

    /// Sends a file: its path below `fixtures/`, its bytes in hexadecimal, its end.
    ///
    /// # Errors
    /// When the port is gone.
    pub fn file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.line(&format!("lab:file {path}"))?;
        for piece in bytes.chunks(64) {
            let digits: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
            self.line(&format!("lab:data {digits}"))?;
        }
        self.line("lab:end")
    }

    /// Tells the host how the guest ended, and waits until it has left the port.
    ///
    /// # Errors
    /// When the port is gone.
    pub fn exit(&mut self, code: u8) -> io::Result<()> {
        self.line(&format!("lab:exit {code}"))?;
        tcdrain(&self.port)?;
        Ok(())
    }
}
