//! The options that tune a connection, in one table: the kernel's text, the rules, the command line
//! and the parameters and records of volumes follow from its rows.
//!
//! A new option is a flag of [`TokenSet`] with the transports that take it, and a field and a row
//! here. Bounds are those of `nvmf_parse_options` in the kernel's `fabrics.c`.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::ParseBoolError;
use std::time::Duration;

use nvme_sysfs::{ControllerLoss, FastIoFail};

use crate::number::{NumberError, parse_seconds, parse_seconds_or_minus_one, parse_u8, parse_u32};
use crate::problem::OptionProblem;
use crate::token::TokenSet;

/// The times that fit the kernel's `int`.
static SECONDS: RangeInclusive<u64> = 0..=2_147_483_647;

/// How a connection behaves. What is not set is not sent, so the kernel's default holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is the kernel's option, with its help in its row"
)]
pub struct ConnectTuning {
    pub ctrl_loss_tmo: Option<ControllerLoss>,
    pub reconnect_delay: Option<Duration>,
    pub fast_io_fail_tmo: Option<FastIoFail>,
    pub keep_alive_tmo: Option<Duration>,
    pub nr_io_queues: Option<u32>,
    pub nr_write_queues: Option<u32>,
    pub nr_poll_queues: Option<u32>,
    pub queue_size: Option<u32>,
    pub tos: Option<u8>,
    pub hdr_digest: bool,
    pub data_digest: bool,
    pub disable_sqflow: bool,
}

/// One option that tunes a connection.
#[derive(Debug)]
pub struct TuningOption {
    /// The kernel's name for it.
    pub token: TokenSet,
    /// The letter of nvme-cli's `connect` for it.
    pub short: char,
    /// What it does, its bounds and its default, in one line.
    pub help: &'static str,
    slot: Slot,
}

/// What kind of value an option has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TuningKind {
    /// How many.
    Count,
    /// A number that counts nothing.
    Number,
    /// Whole seconds; `-1` for never where the option knows that.
    Seconds,
    /// None: it is given, or not.
    Switch,
}

/// Why a text is no value of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TuningValueError {
    /// Not a plain number.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// Neither of the two words of a switch.
    #[error("must be true or false")]
    Switch,
}

type Field<T> = fn(&mut ConnectTuning) -> &mut T;

/// The field of an option, and the bounds of its value.
#[derive(Debug)]
enum Slot {
    Count(Field<Option<u32>>, RangeInclusive<u32>),
    Byte(Field<Option<u8>>),
    Seconds(Field<Option<Duration>>, RangeInclusive<u64>),
    Loss(Field<Option<ControllerLoss>>),
    Fail(Field<Option<FastIoFail>>),
    Switch(Field<bool>),
}

/// Every option that tunes a connection, in the order in which users read of them.
#[rustfmt::skip]
pub static TUNING: [TuningOption; 12] = [
    row(TokenSet::CTRL_LOSS_TMO, 'l', Slot::Loss(|tuning| &mut tuning.ctrl_loss_tmo),
        "Seconds after which a lost controller is given up; -1: never [kernel's default: 600]"),
    row(TokenSet::RECONNECT_DELAY, 'c', Slot::Seconds(|tuning| &mut tuning.reconnect_delay, 1..=65535),
        "Seconds between attempts to reconnect, 1 to 65535 [kernel's default: 10]"),
    row(TokenSet::FAST_IO_FAIL_TMO, 'F', Slot::Fail(|tuning| &mut tuning.fast_io_fail_tmo),
        "Seconds after which I/O on a lost path fails; -1: only with the controller [kernel's default: -1]"),
    row(TokenSet::KEEP_ALIVE_TMO, 'k', Slot::Seconds(|tuning| &mut tuning.keep_alive_tmo, 1..=65535),
        "Seconds between keep-alive commands, 1 to 65535 [kernel's default: 5]"),
    row(TokenSet::NR_IO_QUEUES, 'i', Slot::Count(|tuning| &mut tuning.nr_io_queues, 1..=65535),
        "I/O queues, 1 to 65535 [kernel's default: one per CPU]"),
    row(TokenSet::NR_WRITE_QUEUES, 'W', Slot::Count(|tuning| &mut tuning.nr_write_queues, 1..=65535),
        "Additional queues for writes, 1 to 65535"),
    row(TokenSet::NR_POLL_QUEUES, 'P', Slot::Count(|tuning| &mut tuning.nr_poll_queues, 1..=65535),
        "Additional polled queues, 1 to 65535"),
    row(TokenSet::QUEUE_SIZE, 'Q', Slot::Count(|tuning| &mut tuning.queue_size, 16..=1024),
        "Entries of a queue, 16 to 1024 [kernel's default: 128]"),
    row(TokenSet::TOS, 'T', Slot::Byte(|tuning| &mut tuning.tos),
        "IP type of service, 0 to 255"),
    row(TokenSet::HDR_DIGEST, 'g', Slot::Switch(|tuning| &mut tuning.hdr_digest),
        "Checksum over PDU headers (tcp)"),
    row(TokenSet::DATA_DIGEST, 'G', Slot::Switch(|tuning| &mut tuning.data_digest),
        "Checksum over PDU data (tcp)"),
    row(TokenSet::DISABLE_SQFLOW, 'd', Slot::Switch(|tuning| &mut tuning.disable_sqflow),
        "Turn submission queue flow control off"),
];

const fn row(token: TokenSet, short: char, slot: Slot, help: &'static str) -> TuningOption {
    TuningOption {
        token,
        short,
        help,
        slot,
    }
}

impl ConnectTuning {
    /// Every option that is set.
    #[must_use]
    pub fn tokens(&self) -> TokenSet {
        let is_set = |option: &&TuningOption| option.text(self).is_some();
        TUNING
            .iter()
            .filter(is_set)
            .map(|option| option.token)
            .collect()
    }

    /// Whatever breaks a bound of the kernel.
    pub(crate) fn check(&self, problems: &mut Vec<OptionProblem>) {
        problems.extend(TUNING.iter().filter_map(|option| option.problem(*self)));
    }
}

impl TuningOption {
    /// The row of a token that tunes.
    #[must_use]
    pub fn find(token: TokenSet) -> Option<&'static TuningOption> {
        TUNING.iter().find(|option| option.token == token)
    }

    /// What kind of value it has.
    #[must_use]
    pub fn kind(&self) -> TuningKind {
        match self.slot {
            Slot::Count(..) => TuningKind::Count,
            Slot::Byte(_) => TuningKind::Number,
            Slot::Seconds(..) | Slot::Loss(_) | Slot::Fail(_) => TuningKind::Seconds,
            Slot::Switch(_) => TuningKind::Switch,
        }
    }

    /// Its value as [`set`](Self::set) reads it, `None` while it is not set. The kernel takes the same text, and of a
    /// switch none.
    #[must_use]
    pub fn text(&self, tuning: &ConnectTuning) -> Option<String> {
        let tuning = &mut { *tuning };
        match self.slot {
            Slot::Count(field, _) => field(tuning).map(|count| count.to_string()),
            Slot::Byte(field) => field(tuning).map(|number| number.to_string()),
            Slot::Seconds(field, _) => field(tuning).map(|time| time.as_secs().to_string()),
            Slot::Loss(field) => field(tuning).as_ref().map(loss),
            Slot::Fail(field) => field(tuning).as_ref().map(fast_io_fail),
            Slot::Switch(field) => field(tuning).then(|| "true".to_owned()),
        }
    }

    /// Reads its value from `text`: plain decimal, `-1` for never, `true` or `false`.
    ///
    /// # Errors
    /// The text is none of these, or more than the type holds. The kernel's bounds are checked
    /// where the options are built.
    pub fn set(&self, tuning: &mut ConnectTuning, text: &str) -> Result<(), TuningValueError> {
        let or_never = parse_seconds_or_minus_one;
        match self.slot {
            Slot::Count(field, _) => *field(tuning) = Some(parse_u32(text)?),
            Slot::Byte(field) => *field(tuning) = Some(parse_u8(text)?),
            Slot::Seconds(field, _) => *field(tuning) = Some(parse_seconds(text)?),
            Slot::Loss(field) => {
                let limit = or_never(text)?;
                *field(tuning) = Some(limit.map_or(ControllerLoss::Never, ControllerLoss::After));
            }
            Slot::Fail(field) => {
                let limit = or_never(text)?;
                *field(tuning) = Some(limit.map_or(FastIoFail::Off, FastIoFail::After));
            }
            Slot::Switch(field) => {
                *field(tuning) = text
                    .parse()
                    .map_err(|_: ParseBoolError| TuningValueError::Switch)?;
            }
        }
        Ok(())
    }

    fn problem(&self, mut tuning: ConnectTuning) -> Option<OptionProblem> {
        let tuning = &mut tuning;
        let time = match self.slot {
            Slot::Count(field, ref bounds) => {
                let count = field(tuning).filter(|count| !bounds.contains(count))?;
                return Some(self.breaks(&count, "", bounds));
            }
            Slot::Seconds(field, ref bounds) => (*field(tuning)).map(|time| (time, bounds)),
            Slot::Loss(field) => match *field(tuning) {
                Some(ControllerLoss::After(limit)) => Some((limit, &SECONDS)),
                Some(ControllerLoss::Never) | None => None,
            },
            Slot::Fail(field) => match *field(tuning) {
                Some(FastIoFail::After(limit)) => Some((limit, &SECONDS)),
                Some(FastIoFail::Off) | None => None,
            },
            Slot::Byte(_) | Slot::Switch(_) => None,
        };
        let (time, bounds) = time.filter(|(time, bounds)| !is_whole(*time, bounds))?;
        Some(self.breaks(
            &format_args!("{}s", time.as_secs_f64()),
            "whole seconds ",
            bounds,
        ))
    }

    fn breaks(
        &self,
        value: &dyn Display,
        unit: &str,
        bounds: &RangeInclusive<impl Display>,
    ) -> OptionProblem {
        let (least, most) = (bounds.start(), bounds.end());
        OptionProblem::Value {
            option: self.token,
            value: value.to_string(),
            rule: format!("must be {unit}from {least} to {most}"),
        }
    }
}

/// Whether `time` has no fraction of a second and lies within the bounds.
pub(crate) fn is_whole(time: Duration, bounds: &RangeInclusive<u64>) -> bool {
    time.subsec_nanos() == 0 && bounds.contains(&time.as_secs())
}

/// The kernel's word for when it gives up: seconds, or -1.
pub(crate) fn loss(limit: &ControllerLoss) -> String {
    match limit {
        ControllerLoss::After(limit) => limit.as_secs().to_string(),
        ControllerLoss::Never => "-1".to_owned(),
    }
}

/// The kernel's word for when I/O fails: seconds, or -1.
pub(crate) fn fast_io_fail(limit: &FastIoFail) -> String {
    match limit {
        FastIoFail::After(limit) => limit.as_secs().to_string(),
        FastIoFail::Off => "-1".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{refusal, tuned};

    #[test]
    fn numbers_keep_their_bounds() {
        let text = refusal(&tuned(|tuning| tuning.queue_size = Some(15)));
        assert_eq!(text, "queue_size \"15\" must be from 16 to 1024");
        let bad: [fn(&mut ConnectTuning); 4] = [
            |tuning| tuning.queue_size = Some(1025),
            |tuning| tuning.nr_io_queues = Some(0),
            |tuning| tuning.nr_write_queues = Some(0),
            |tuning| tuning.nr_poll_queues = Some(65536),
        ];
        for bad in bad {
            assert!(tuned(bad).build().is_err());
        }
        let bounds = tuned(|tuning| {
            tuning.queue_size = Some(16);
            tuning.nr_io_queues = Some(65535);
        });
        bounds.build().expect("bounds");
    }

    #[test]
    fn times_are_whole_seconds_within_their_bounds() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let fraction = |tuning: &mut ConnectTuning| {
            tuning.keep_alive_tmo = Some(Duration::from_millis(1500));
        };
        assert_eq!(
            refusal(&tuned(fraction)),
            "keep_alive_tmo \"1.5s\" must be whole seconds from 1 to 65535"
        );
        let is_taken = |change: &dyn Fn(&mut ConnectTuning)| tuned(change).build().is_ok();
        assert!(!is_taken(&|tuning| tuning.keep_alive_tmo = seconds(0)));
        assert!(!is_taken(&|tuning| tuning.reconnect_delay = seconds(0)));
        assert!(!is_taken(&|tuning| tuning.reconnect_delay = seconds(65536)));
        let loss = |limit| {
            move |tuning: &mut ConnectTuning| {
                tuning.ctrl_loss_tmo = seconds(limit).map(ControllerLoss::After);
            }
        };
        assert!(!is_taken(&loss(2_147_483_648)));
        assert!(is_taken(&loss(2_147_483_647)), "the most");
        assert!(is_taken(&loss(0)), "at the first loss");
        let fail = FastIoFail::After(Duration::from_millis(1));
        assert!(!is_taken(&|tuning| tuning.fast_io_fail_tmo = Some(fail)));
    }

    #[test]
    fn every_option_is_read_as_it_is_written() {
        let mut tuning = ConnectTuning::default();
        assert_eq!(tuning.tokens(), TokenSet::empty());
        for option in &TUNING {
            let (text, wrong) = match option.kind() {
                TuningKind::Switch => ("true", "yes"),
                _ => ("16", "0x10"),
            };
            option.set(&mut tuning, text).expect(text);
            assert_eq!(
                option.text(&tuning).as_deref(),
                Some(text),
                "{}",
                option.token
            );
            assert!(option.set(&mut tuning, wrong).is_err(), "{}", option.token);
        }
        let all = TUNING
            .iter()
            .map(|option| option.token)
            .collect::<TokenSet>();
        assert_eq!(tuning.tokens(), all);
        let never = [TokenSet::CTRL_LOSS_TMO, TokenSet::FAST_IO_FAIL_TMO];
        for option in never.into_iter().filter_map(TuningOption::find) {
            option.set(&mut tuning, "-1").expect("never");
            assert_eq!(option.text(&tuning).as_deref(), Some("-1"));
        }
    }

    #[test]
    fn the_help_of_a_number_names_its_bounds() {
        for option in &TUNING {
            let (least, most) = match &option.slot {
                Slot::Count(_, bounds) => (u64::from(*bounds.start()), u64::from(*bounds.end())),
                Slot::Seconds(_, bounds) => (*bounds.start(), *bounds.end()),
                Slot::Byte(_) => (0, 255),
                Slot::Loss(_) | Slot::Fail(_) | Slot::Switch(_) => continue,
            };
            let bounds = format!(", {least} to {most}");
            assert!(option.help.contains(&bounds), "{}", option.help);
        }
    }
}
