//! The newc cpio format that Linux unpacks as its initramfs (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Pure: bytes in, bytes out. Archives may stand one behind the other; a directory that is there already is no error
//! for the kernel.

use std::collections::BTreeSet;

/// Types of `st_mode` (inode(7)).
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// Magic number of newc, and the name that ends an archive.
const MAGIC: &str = "070701";
const TRAILER: &str = "TRAILER!!!";

/// An archive that grows. Paths are relative or absolute alike; missing parents are added as 0755.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    inode: u32,
    directories: BTreeSet<String>,
}

/// The file is larger than the format's 32-bit size field.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{path} is larger than 4 GiB, more than a cpio archive can hold")]
pub struct TooLarge {
    /// The path in the archive.
    pub path: String,
}

/// Device number of a character device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceNumber {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl Archive {
    /// Adds a directory of mode 0755 and its parents.
    pub fn directory(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if path.is_empty() || self.directories.contains(path) {
            return;
        }
        self.parent_of(path);
        self.directories.insert(path.to_owned());
        self.header(
            path,
            DIRECTORY | 0o755,
            0,
            DeviceNumber { major: 0, minor: 0 },
        );
    }

    /// Adds a regular file.
    ///
    /// # Errors
    /// [`TooLarge`] for 4 GiB and more.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<(), TooLarge> {
        self.data(path, REGULAR | mode, content)
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// [`TooLarge`] for a target of 4 GiB and more.
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<(), TooLarge> {
        self.data(path, SYMLINK | 0o777, target.as_bytes())
    }

    /// Adds a character device.
    pub fn character_device(&mut self, path: &str, mode: u32, number: DeviceNumber) {
        let path = path.trim_matches('/');
        self.parent_of(path);
        self.header(path, CHARACTER_DEVICE | mode, 0, number);
    }

    /// Ends the archive. Another one may follow behind its bytes.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.header(TRAILER, 0, 0, DeviceNumber { major: 0, minor: 0 });
        self.bytes
    }

    fn data(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<(), TooLarge> {
        let path = path.trim_matches('/');
        let size = u32::try_from(content.len()).map_err(|_| TooLarge {
            path: path.to_owned(),
        })?;
        self.parent_of(path);
        self.header(path, mode, size, DeviceNumber { major: 0, minor: 0 });
        self.bytes.extend_from_slice(content);
        self.pad();
        Ok(())
    }

    fn parent_of(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
    }

    /// The fields in the format's order, eight hexadecimal digits each: ino, mode, uid, gid, nlink, mtime, filesize,
    /// devmajor, devminor, rdevmajor, rdevminor, namesize (with its NUL), check.
    fn header(&mut self, path: &str, mode: u32, size: u32, number: DeviceNumber) {
        self.inode += 1;
        let name_size = u32::try_from(path.len() + 1).expect("paths are shorter than 4 GiB");
        let fields = [
            self.inode,
            mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            number.major,
            number.minor,
            name_size,
            0,
        ];
        self.bytes.extend_from_slice(MAGIC.as_bytes());
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(archive: &[u8]) -> Vec<String> {
        let number = |at: usize| {
            let text = std::str::from_utf8(&archive[at..at + 8]).expect("digits");
            usize::from_str_radix(text, 16).expect("digits")
        };
        let (mut at, mut names) = (0, Vec::new());
        while at < archive.len() {
            assert_eq!(&archive[at..at + 6], MAGIC.as_bytes());
            let (size, name_size) = (number(at + 54), number(at + 94));
            let name = &archive[at + 110..at + 110 + name_size - 1];
            names.push(String::from_utf8(name.to_vec()).expect("a name"));
            at = (at + 110 + name_size).next_multiple_of(4) + size.next_multiple_of(4);
        }
        names
    }

    #[test]
    fn parents_come_first_and_once() {
        let mut archive = Archive::default();
        archive
            .file("/lab/modules/a.ko", 0o644, b"12345")
            .expect("small");
        archive.file("lab/modules/b.ko", 0o644, b"").expect("small");
        archive.symlink("/bin/sh", "/init").expect("small");
        archive.character_device("/dev/console", 0o600, DeviceNumber { major: 5, minor: 1 });
        let expected = [
            "lab",
            "lab/modules",
            "lab/modules/a.ko",
            "lab/modules/b.ko",
            "bin",
            "bin/sh",
            "dev",
            "dev/console",
            TRAILER,
        ];
        assert_eq!(names(&archive.finish()), expected);
    }

    #[test]
    fn a_header_has_the_documented_fields() {
        let mut archive = Archive::default();
        archive.character_device("c", 0o600, DeviceNumber { major: 5, minor: 1 });
        let bytes = archive.finish();
        let expected = "07070100000001000021800000000000000000000000010000000000000000000000000000000000000005000000010000000200000000c\0";
        assert_eq!(&bytes[..expected.len()], expected.as_bytes());
        assert_eq!(bytes.len() % 4, 0);
    }
}
