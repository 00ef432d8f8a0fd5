//! The host side of the kernel, in the few raw lines that captures need.
//!
//! The program under test does this better; the lab stays independent of it, so that a fixture shows the kernel alone.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::context;

/// Longer than anything that ends at all takes on the slowest emulated machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Writes an option string to `/dev/nvme-fabrics` and gives the new controller's name.
///
/// # Errors
/// What the kernel answers.
pub(super) fn connect(options: &str) -> io::Result<String> {
    let mut device = File::options()
        .read(true)
        .write(true)
        .open("/dev/nvme-fabrics")?;
    context(device.write_all(options.as_bytes()), || {
        format!("connect {options}")
    })?;
    let mut reply = String::new();
    device.read_to_string(&mut reply)?;
    let instance = reply
        .trim()
        .strip_prefix("instance=")
        .and_then(|rest| rest.split(',').next());
    let instance = instance.ok_or_else(|| io::Error::other(format!("reply {reply:?}")))?;
    Ok(format!("nvme{instance}"))
}

/// The directory of a controller.
#[must_use]
pub(super) fn controller(name: &str) -> PathBuf {
    Path::new("/sys/class/nvme").join(name)
}

/// Deletes a controller; the write returns when the kernel is done.
///
/// # Errors
/// What the kernel answers.
pub(super) fn delete(name: &str) -> io::Result<()> {
    fs::write(controller(name).join("delete_controller"), "1")
}

/// Waits until a controller is in a state.
///
/// # Errors
/// When it is not in time.
pub(super) fn wait_state(name: &str, state: &str) -> io::Result<()> {
    let path = controller(name).join("state");
    wait_for(&format!("{name} to be {state}"), || {
        fs::read_to_string(&path).is_ok_and(|now| now.trim() == state)
    })
}

/// Waits until a path exists.
///
/// # Errors
/// When it does not in time.
pub(super) fn wait_path(path: &str) -> io::Result<()> {
    wait_for(path, || Path::new(path).exists())
}

/// Polls until `holds`.
///
/// # Errors
/// When it does not in time.
pub(super) fn wait_for(wish: &str, mut holds: impl FnMut() -> bool) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() > deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("waited {PATIENCE:?} for {wish}"),
            ));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
