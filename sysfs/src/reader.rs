//! Reading one entry, value by value.
//!
//! Invariant: a value that cannot be read, or makes no sense, is `None` and noted with its path; it keeps no other value
//! from being read.

use crate::attribute::Directory;
use crate::error::{ScanError, Unknown};

/// The word for a value that every entry has and that cannot be read.
pub(crate) const UNKNOWN: &str = "unknown";

/// Reads the attributes of one entry and notes what is wrong with them.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    directory: &'a Directory,
    unknown: Vec<Unknown>,
}

impl<'a> Reader<'a> {
    pub(crate) fn of(directory: &'a Directory) -> Self {
        Self {
            directory,
            unknown: Vec::new(),
        }
    }

    /// [`Directory::text`].
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let text = self.directory.text(name);
        self.note(text).flatten()
    }

    /// [`Directory::foreign_text`].
    pub(crate) fn foreign_text(&mut self, name: &str) -> Option<String> {
        let text = self.directory.foreign_text(name);
        self.note(text).flatten()
    }

    /// [`Directory::line`].
    pub(crate) fn line(&mut self, name: &str) -> Option<String> {
        let line = self.directory.line(name);
        self.note(line).flatten()
    }

    /// [`Directory::word`].
    pub(crate) fn word<T: for<'b> From<&'b str>>(&mut self, name: &str) -> Option<T> {
        self.text(name).map(|text| T::from(&text))
    }

    /// [`Directory::value`].
    pub(crate) fn value<T>(
        &mut self,
        name: &str,
        rule: &'static str,
        parse: fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.directory.value(name, rule, parse);
        self.note(value).flatten()
    }

    /// [`Directory::proof`]; `None` if the entry is gone, and within it if the value is unknown.
    pub(crate) fn proof<T>(
        &mut self,
        name: &str,
        rule: &'static str,
        parse: fn(&str) -> Option<T>,
    ) -> Option<Option<T>> {
        let proof = self.directory.proof(name, rule, parse);
        self.note(proof).map_or(Some(None), |proof| proof.map(Some))
    }

    /// [`Directory::proof_line`], as [`Reader::proof`].
    pub(crate) fn proof_line(&mut self, name: &str, rule: &'static str) -> Option<Option<String>> {
        let proof = self.directory.proof_line(name, rule);
        self.note(proof).map_or(Some(None), |proof| proof.map(Some))
    }

    /// A word that every entry of its kind has.
    pub(crate) fn needed_word<T: for<'b> From<&'b str>>(&mut self, name: &str) -> T {
        let text = self.directory.text(name);
        let text = text.and_then(|text| text.ok_or_else(|| self.directory.missing(name)));
        T::from(self.note(text).as_deref().unwrap_or(UNKNOWN))
    }

    /// [`Directory::line`] of an attribute that every entry of its kind has.
    pub(crate) fn needed_line(&mut self, name: &str) -> String {
        let line = self.directory.line(name);
        let line = line.and_then(|line| line.ok_or_else(|| self.directory.missing(name)));
        self.note(line).unwrap_or_else(|| UNKNOWN.to_owned())
    }

    /// What was read, or nothing and a note of why.
    pub(crate) fn note<T>(&mut self, read: Result<T, ScanError>) -> Option<T> {
        note(read, &mut self.unknown)
    }

    /// Everything that could not be read so far.
    pub(crate) fn noted(self) -> Vec<Unknown> {
        self.unknown
    }
}

/// What was read, or nothing and a note of why.
pub(crate) fn note<T>(read: Result<T, ScanError>, unknown: &mut Vec<Unknown>) -> Option<T> {
    read.map_err(|error| unknown.push(error.into())).ok()
}
