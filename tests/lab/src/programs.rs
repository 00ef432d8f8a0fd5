//! A program of the host for the guest, with its ELF interpreter and the libraries it needs.
//!
//! `ldd` names them; they keep their paths, so that the interpreter finds them without configuration.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{self, CommandError, find_program};
use crate::initramfs::GuestFile;

/// Why a program cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not installed.
    #[error("{name} is not installed: run `cargo lab setup`")]
    Missing {
        /// Its name.
        name: String,
    },
    /// ldd failed.
    #[error("cannot list the libraries of {program}")]
    Libraries {
        /// The program's path.
        program: PathBuf,
        /// Why.
        source: CommandError,
    },
    /// ldd says that a library is not there.
    #[error("{program} needs {library}, which is not found")]
    NoLibrary {
        /// The program's path.
        program: PathBuf,
        /// The library's name.
        library: String,
    },
}

/// The installed program `name`, at `guest_path` in the guest, with all that it needs.
///
/// # Errors
/// [`ProgramError`]: not installed, or its libraries are not.
pub fn program(name: &str, guest_path: &str) -> Result<Vec<GuestFile>, ProgramError> {
    let path = find_program(name).ok_or_else(|| ProgramError::Missing {
        name: name.to_owned(),
    })?;
    let ldd = command::output(Command::new("ldd").arg(&path));
    let libraries = match ldd {
        Ok(text) => parse_ldd(&path, &String::from_utf8_lossy(&text))?,
        // ldd's answer to a static program is this message and exit code 1.
        Err(CommandError::Failed { stderr, .. }) if stderr.contains("not a dynamic executable") => {
            Vec::new()
        }
        Err(source) => {
            return Err(ProgramError::Libraries {
                program: path,
                source,
            });
        }
    };
    let libraries = libraries
        .iter()
        .map(|file| GuestFile::program(file.to_string_lossy(), file));
    Ok(libraries
        .chain([GuestFile::program(guest_path, &path)])
        .collect())
}

/// `libc.so.6 => /lib/…/libc.so.6 (0x…)` and `/lib64/ld-linux-x86-64.so.2 (0x…)`; the vdso has no file.
pub(crate) fn parse_ldd(program: &Path, text: &str) -> Result<Vec<PathBuf>, ProgramError> {
    let mut files = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        let (name, file) = line.split_once(" => ").unwrap_or((line, line));
        if file == "not found" {
            let library = name.to_owned();
            return Err(ProgramError::NoLibrary {
                program: program.to_owned(),
                library,
            });
        }
        let file = file.split(" (").next().unwrap_or(file);
        if file.starts_with('/') {
            files.push(file.into());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_interpreter_are_listed_without_the_vdso() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let files = parse_ldd(Path::new("/bin/x"), text).expect("all found");
        let expected = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(files, expected.map(PathBuf::from));
    }

    #[test]
    fn a_library_that_is_not_found_is_named() {
        let error =
            parse_ldd(Path::new("/bin/x"), "\tlibnvme.so.1 => not found\n").expect_err("missing");
        assert!(
            matches!(&error, ProgramError::NoLibrary { library, .. } if library == "libnvme.so.1"),
            "{error}"
        );
    }
}
