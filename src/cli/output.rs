//! What a verb prints on standard output: text for people, or JSON.
//!
//! JSON has the layout of `nvme-cli` (two spaces, no space after a colon), so that `list-subsys -o
//! json` is the same text and all verbs agree.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};

use super::exit::Exit;

/// The form of the result, `-o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people; may change between releases.
    #[default]
    #[value(alias = "normal")]
    Human,
    /// For programs; fields are only added.
    Json,
}

/// The `-o` option that every verb has.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Output {
    /// Form of the result on standard output
    #[arg(
        short = 'o',
        long = "output",
        alias = "output-format",
        value_enum,
        value_name = "FORMAT",
        default_value_t
    )]
    pub format: Format,
}

/// The result of a verb.
pub trait Report {
    /// Writes it in the form that was asked for.
    ///
    /// # Errors
    /// Those of `out`.
    fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()>;

    /// The exit code it means.
    fn exit(&self) -> Exit {
        Exit::Done
    }
}

/// Writes `value` as JSON, with a line break at the end.
pub(crate) fn write_json(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, Layout::default());
    value.serialize(&mut serializer)?;
    writeln!(out)
}

/// serde_json's pretty layout without the space after a colon.
#[derive(Default)]
struct Layout<'a>(PrettyFormatter<'a>);

impl Formatter for Layout<'_> {
    fn begin_array<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_array(out)
    }

    fn end_array<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array(out)
    }

    fn begin_array_value<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(out, first)
    }

    fn end_array_value<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array_value(out)
    }

    fn begin_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object(out)
    }

    fn end_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object(out)
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(out, first)
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b":")
    }

    fn end_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_value(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Sample {
        name: &'static str,
        paths: Vec<u8>,
        empty: Vec<u8>,
    }

    #[test]
    fn json_has_the_layout_and_escapes_of_nvme_cli() {
        let expected = "{\n  \"Name\":\"a\\\"b/c\\u0001é\",\n  \"Paths\":[\n    1,\n    2\n  \
            ],\n  \"Empty\":[]\n}\n";
        let sample = Sample {
            name: "a\"b/c\u{1}é",
            paths: vec![1, 2],
            empty: Vec::new(),
        };
        let mut out = Vec::new();
        write_json(&sample, &mut out).expect("a Vec takes everything");
        assert_eq!(String::from_utf8(out).expect("JSON is UTF-8"), expected);
    }
}
