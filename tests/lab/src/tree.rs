//! A part of sysfs as one text file: captured from a real kernel, unpacked into a directory for a test.
//!
//! One line per entry, sorted by path, behind header lines that begin with `# ` (kernel and recipe):
//!
//! ```text
//! sys/class/nvme/nvme0 -> ../../devices/virtual/nvme-fabrics/ctl/nvme0
//! sys/devices/virtual/nvme-fabrics/ctl/nvme0/state<TAB>live\n
//! sys/devices/virtual/nvme-fabrics/ctl/nvme0/delete_controller<TAB><TAB>0200
//! sys/devices/virtual/nvme-fabrics/ctl/nvme0/power/
//! ```
//!
//! A value, a path and a link target hold `\n`, `\t`, `\\` and `\xNN` for what is not printable ASCII; a path also
//! writes its spaces as `\x20`. A third column gives a file's mode where it is not 0444; a path that ends in `/` is a
//! directory. Invariant: `Tree::parse(&tree.to_text())` gives the same tree back.

mod capture;
mod escape;
mod unpack;

use std::collections::BTreeMap;
use std::fmt::Write as _;

pub use capture::{CaptureError, capture};
pub use unpack::{UnpackError, unpack};

use escape::{escape, unescape};

/// The mode of most sysfs attributes: a file without a third column has it.
pub const DEFAULT_MODE: u32 = 0o444;

/// What stands at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A directory. Only needed for an empty one: parents of other entries are made as they are met.
    Directory,
    /// A regular file.
    File {
        /// Its content.
        value: Vec<u8>,
        /// Its permission bits.
        mode: u32,
    },
    /// A symbolic link with its target as the kernel wrote it.
    Link(String),
}

/// A captured tree: header lines and entries by relative path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// Kernel release and recipe, one line each, without the leading `# `.
    pub header: Vec<String>,
    /// The entries; paths are relative, without `.` and `..`.
    pub entries: BTreeMap<String, Entry>,
}

/// Why a text is no tree.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseTreeError {
    /// The line is neither header, directory, link nor file.
    #[error("line {line}: {text:?} is neither `path<TAB>value`, `path -> link` nor `path/`")]
    Shape {
        /// Line number, from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A `\` that begins none of the known escapes, or bytes of a path that are no UTF-8.
    #[error("line {line}: bad escape in {text:?}")]
    Escape {
        /// Line number, from 1.
        line: usize,
        /// The field.
        text: String,
    },
    /// The third column is no octal mode.
    #[error("line {line}: {text:?} is no octal file mode of at most 7777")]
    Mode {
        /// Line number, from 1.
        line: usize,
        /// The field.
        text: String,
    },
    /// The path would leave the directory that the tree is unpacked into.
    #[error("line {line}: path {path:?} is not relative and plain")]
    Path {
        /// Line number, from 1.
        line: usize,
        /// The path.
        path: String,
    },
    /// The path stands twice in the file, or below a path that is no directory.
    #[error("line {line}: path {path:?} is there already, or lies below a file or link")]
    Conflict {
        /// Line number, from 1.
        line: usize,
        /// The path.
        path: String,
    },
}

impl Tree {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`ParseTreeError`] with the first line that breaks a rule.
    pub fn parse(text: &str) -> Result<Self, ParseTreeError> {
        let mut tree = Self::default();
        for (index, line) in text.lines().enumerate() {
            match line.strip_prefix("# ") {
                Some(header) => tree.header.push(header.to_owned()),
                None if line.is_empty() => {}
                None => tree.add_line(index + 1, line)?,
            }
        }
        Ok(tree)
    }

    /// Writes the text form.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for line in &self.header {
            text.push_str("# ");
            text.push_str(line);
            text.push('\n');
        }
        for (path, entry) in &self.entries {
            text.push_str(&escape(path.as_bytes()).replace(' ', "\\x20"));
            match entry {
                Entry::Directory => text.push('/'),
                Entry::Link(target) => {
                    text.push_str(" -> ");
                    text.push_str(&escape(target.as_bytes()));
                }
                Entry::File { value, mode } => {
                    text.push('\t');
                    text.push_str(&escape(value));
                    if *mode != DEFAULT_MODE {
                        write!(text, "\t{mode:04o}").expect("a String takes every write");
                    }
                }
            }
            text.push('\n');
        }
        text
    }

    fn add_line(&mut self, line: usize, text: &str) -> Result<(), ParseTreeError> {
        let (path, entry) = parse_line(line, text)?;
        if !is_plain(&path) {
            return Err(ParseTreeError::Path { line, path });
        }
        if self.entries.contains_key(&path) || self.crosses_a_file(&path, &entry) {
            return Err(ParseTreeError::Conflict { line, path });
        }
        self.entries.insert(path, entry);
        Ok(())
    }

    /// Is a parent of the path a file or link, or is the new file or link a parent of what is there?
    fn crosses_a_file(&self, path: &str, entry: &Entry) -> bool {
        let parent_is_file = path.match_indices('/').any(|(end, _)| {
            matches!(
                self.entries.get(&path[..end]),
                Some(Entry::File { .. } | Entry::Link(_))
            )
        });
        let below = format!("{path}/");
        let has_children = self
            .entries
            .range(below.clone()..)
            .next()
            .is_some_and(|(next, _)| next.starts_with(&below));
        parent_is_file || (has_children && *entry != Entry::Directory)
    }
}

fn parse_line(line: usize, text: &str) -> Result<(String, Entry), ParseTreeError> {
    if let Some((path, rest)) = text.split_once('\t') {
        let (value, mode) = match rest.split_once('\t') {
            Some((value, mode)) => (value, parse_mode(line, mode)?),
            None => (rest, DEFAULT_MODE),
        };
        let value = bytes(line, value)?;
        return Ok((string(line, path)?, Entry::File { value, mode }));
    }
    if let Some((path, target)) = text.split_once(" -> ") {
        return Ok((string(line, path)?, Entry::Link(string(line, target)?)));
    }
    match text.strip_suffix('/') {
        Some(path) => Ok((string(line, path)?, Entry::Directory)),
        None => Err(ParseTreeError::Shape {
            line,
            text: text.to_owned(),
        }),
    }
}

fn parse_mode(line: usize, text: &str) -> Result<u32, ParseTreeError> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| ParseTreeError::Mode {
            line,
            text: text.to_owned(),
        })
}

fn bytes(line: usize, text: &str) -> Result<Vec<u8>, ParseTreeError> {
    unescape(text).ok_or_else(|| ParseTreeError::Escape {
        line,
        text: text.to_owned(),
    })
}

fn string(line: usize, text: &str) -> Result<String, ParseTreeError> {
    String::from_utf8(bytes(line, text)?).map_err(|_| ParseTreeError::Escape {
        line,
        text: text.to_owned(),
    })
}

fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(value: &[u8], mode: u32) -> Entry {
        Entry::File {
            value: value.to_vec(),
            mode,
        }
    }

    fn sample() -> Tree {
        let entries = [
            ("sys/a b", file(b"live\n", DEFAULT_MODE)),
            ("sys/empty", file(b"", DEFAULT_MODE)),
            ("sys/delete", file(b"", 0o200)),
            ("sys/odd", file(b"tab\t back\\slash \x00\xff -> x/", 0o644)),
            ("sys/link", Entry::Link("../de vices/x".to_owned())),
            ("sys/power", Entry::Directory),
        ];
        Tree {
            header: vec!["kernel 6.12".to_owned(), "recipe one path".to_owned()],
            entries: entries
                .into_iter()
                .map(|(path, entry)| (path.to_owned(), entry))
                .collect(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(Tree::parse(&sample().to_text()), Ok(sample()));
    }

    #[test]
    fn the_text_form_is_the_documented_one() {
        let expected = "# kernel 6.12\n# recipe one path\nsys/a\\x20b\tlive\\n\nsys/delete\t\t0200\nsys/empty\t\n\
                        sys/link -> ../de vices/x\nsys/odd\ttab\\t back\\\\slash \\x00\\xff -> x/\t0644\nsys/power/\n";
        assert_eq!(sample().to_text(), expected);
    }

    #[test]
    fn a_path_that_leaves_the_tree_is_refused() {
        for path in ["/etc/x", "../x", "a/../x", "a//x", "./x", ""] {
            let result = Tree::parse(&format!("{path}\tvalue\n"));
            assert!(
                matches!(result, Err(ParseTreeError::Path { line: 1, .. })),
                "{path:?}: {result:?}"
            );
        }
    }

    #[test]
    fn an_entry_below_a_link_or_a_second_of_the_same_path_is_refused() {
        for text in [
            "a -> /etc\na/passwd\tx\n",
            "a/passwd\tx\na -> /etc\n",
            "a\tx\na/b\tx\n",
            "a\tx\na\ty\n",
        ] {
            let result = Tree::parse(text);
            assert!(
                matches!(result, Err(ParseTreeError::Conflict { line: 2, .. })),
                "{text:?}: {result:?}"
            );
        }
    }

    #[test]
    fn a_broken_line_is_named() {
        let cases = [
            ("just words", "line 1: \"just words\" is neither"),
            ("a\t\\q", "line 1: bad escape"),
            ("a\tx\t9", "line 1: \"9\""),
        ];
        for (text, start) in cases {
            let error = Tree::parse(text).expect_err(text).to_string();
            assert!(error.starts_with(start), "{error}");
        }
    }
}
