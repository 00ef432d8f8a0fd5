//! The times of one thing that was done several times.

use std::fmt;
use std::time::Duration;

/// All times, in the order in which they were taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// One more.
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The median divided by another's; `None` where one has no times.
    pub(crate) fn ratio_to(&self, other: &Self) -> Option<f64> {
        let (ours, theirs) = (self.median()?, other.median()?);
        Some(ours.as_secs_f64() / theirs.as_secs_f64())
    }

    /// The one in the middle.
    pub(crate) fn median(&self) -> Option<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}

/// The fastest and the median, `-` without times.
impl fmt::Display for Times {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.iter().min(), self.median()) {
            (Some(fastest), Some(median)) => {
                let cell = format!("{} / {}", milliseconds(*fastest), milliseconds(median));
                formatter.pad(&cell)
            }
            _ => formatter.pad("-"),
        }
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}
