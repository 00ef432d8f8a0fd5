//! Reads the command line, and tells what is wrong with it in the form that it asks for.
//!
//! Invariant: what looks like a secret in it is not repeated, wherever it stands.

use std::ffi::OsString;
use std::io::{self, Write};

use clap::Parser;

use super::command_line::CommandLine;
use super::exit::Exit;
use super::failure::write_object;
use super::secret_text::find_secret;

/// The command line that `arguments` are, the program's name before them.
///
/// # Errors
/// How the program ends instead: it was told what is wrong, or printed its help.
pub fn read(arguments: &[OsString]) -> Result<CommandLine, Exit> {
    CommandLine::try_parse_from(arguments).map_err(|error| tell(&error, arguments))
}

fn tell(error: &clap::Error, arguments: &[OsString]) -> Exit {
    if !error.use_stderr() {
        let _nobody_reads = error.print();
        return Exit::Done;
    }
    let words: Vec<_> = arguments.iter().map(|it| it.to_string_lossy()).collect();
    let mut text = error.render().to_string();
    for word in &words {
        if let Some(begin) = find_secret(word) {
            text = text.replace(&word[begin..], "***");
        }
    }
    if wants_json(&words) {
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        write_object(text.trim_end(), None, Exit::WrongUse);
    } else {
        let _nobody_reads = io::stderr().write_all(text.as_bytes());
    }
    Exit::WrongUse
}

/// Whether the option for it stands there, as far as that can be told of a line that is wrong.
fn wants_json(words: &[impl AsRef<str>]) -> bool {
    let mut before = "";
    for word in words.iter().map(AsRef::as_ref) {
        let is_short = word.starts_with('-') && !word.starts_with("--");
        let given = match word {
            "--" => return false,
            "json" => {
                let is_cluster = before.starts_with('-') && !before.starts_with("--");
                is_cluster && before.ends_with('o')
                    || matches!(before, "--output" | "--output-format")
            }
            "--output=json" | "--output-format=json" => true,
            _ => is_short && (word.ends_with("ojson") || word.ends_with("o=json")),
        };
        if given {
            return true;
        }
        before = word;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_wanted_where_its_option_stands_before_the_end_of_options() {
        for line in [
            "list -o json",
            "list -ojson x",
            "list -vo json",
            "list -o=json",
            "list --output json",
            "list --output-format=json",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert!(wants_json(&words), "{line}");
        }
        for line in [
            "list",
            "list json",
            "list -o human",
            "list --log-format json",
            "list -- -o json",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            assert!(!wants_json(&words), "{line}");
        }
    }
}
