//! The options that tune a connection, as they stand in [`TUNING`]: the kernel's names with dashes, nvme-cli's letters.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};
use nvme_fabrics::{ConnectTuning, TUNING, TuningKind, TuningOption};

/// What of it was given.
#[derive(Debug)]
pub(in crate::cli) struct TuningArguments(pub(in crate::cli) ConnectTuning);

impl Args for TuningArguments {
    fn augment_args(command: Command) -> Command {
        command.args(TUNING.iter().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        TuningArguments::augment_args(command)
    }
}

fn argument(option: &'static TuningOption) -> Arg {
    let token = option.token.to_string();
    let arg = Arg::new(&token)
        .long(token.replace('_', "-"))
        // nvme-cli writes fast_io_fail_tmo as the kernel does.
        .alias(token)
        .short(option.short)
        .help(option.help)
        .help_heading("Connection");
    let value = match option.kind() {
        TuningKind::Switch => return arg.action(ArgAction::SetTrue),
        TuningKind::Count => "COUNT",
        TuningKind::Number => "NUMBER",
        TuningKind::Seconds => "SECONDS",
    };
    arg.value_name(value)
        .allow_hyphen_values(true)
        .value_parser(move |text: &str| {
            let set = option.set(&mut ConnectTuning::default(), text);
            set.map(|()| text.to_owned())
        })
}

impl FromArgMatches for TuningArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<TuningArguments, Error> {
        let mut arguments = TuningArguments(ConnectTuning::default());
        arguments.update_from_arg_matches(matches)?;
        Ok(arguments)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for option in &TUNING {
            let token = option.token.to_string();
            let text = match option.kind() {
                TuningKind::Switch => matches.get_flag(&token).then_some("true"),
                _ => matches.get_one::<String>(&token).map(String::as_str),
            };
            if let Some(text) = text {
                let set = option.set(&mut self.0, text);
                set.map_err(|error| Error::raw(ErrorKind::ValueValidation, error))?;
            }
        }
        Ok(())
    }
}
