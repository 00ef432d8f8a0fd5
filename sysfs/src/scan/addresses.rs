//! The addresses of controllers, which never change and are best not read often.
//!
//! To print the attribute `address` of a controller over TCP, kernels ask its socket for its own end (`src_addr`), and
//! at least 6.1 and 6.12 do so without holding the socket back from a reset or a removal that closes it just then
//! (`nvme_tcp_get_address`, drivers/nvme/host/tcp.c): the reader dies in the kernel, with a lock of the controller in
//! its hands, and no write to the controller's device ever ends again. Seen on 6.12.117. So a program that looks at each
//! event, which is to say whenever controllers are being reset or removed, reads each address once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::attribute::Directory;
use crate::device::Instance;
use crate::error::ScanError;

/// Where the addresses of controllers come from. Clones share what they have read.
#[derive(Debug, Clone, Default)]
pub(crate) enum Addresses {
    /// From the kernel, each time.
    #[default]
    Read,
    /// From the kernel once. Beside each address, the inode of the controller's directory: another controller of the same
    /// number has another one.
    Remembered(Arc<Mutex<HashMap<Instance, (u64, String)>>>),
}

impl Addresses {
    /// That are read once.
    pub(crate) fn remembered() -> Addresses {
        Addresses::Remembered(Arc::default())
    }

    /// The text of `address` of a controller; empty if it is gone or has none.
    pub(super) fn of(
        &self,
        instance: Instance,
        directory: &Directory,
    ) -> Result<String, ScanError> {
        let read = || Ok(directory.foreign_text("address")?.unwrap_or_default());
        let Addresses::Remembered(known) = self else {
            return read();
        };
        let Some(inode) = directory.inode() else {
            return read();
        };
        let lock = || known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, address)) = lock().get(&instance).filter(|(of, _)| *of == inode) {
            return Ok(address.clone());
        }
        let address = read()?;
        if !address.is_empty() {
            lock().insert(instance, (inode, address.clone()));
        }
        Ok(address)
    }
}
