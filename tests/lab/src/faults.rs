//! The table of what happens to volumes when their targets fail, out of what the rows print (pure).
//!
//! A row is a test whose name begins with `row_N_`; it passes, fails or is not run on each kernel, and may report
//! figures beside. Invariant: what gave no verdict is not run, and never passed.

use std::collections::BTreeMap;
use std::fmt;

use crate::Suite;

/// How a row's name begins, before its number.
const ROW: &str = "row_";
/// The rows are numbered so far; those without a test are named.
const LAST_ROW: u32 = 32;

/// The table.
#[derive(Debug)]
pub struct Faults {
    suites: Vec<Suite>,
    rows: BTreeMap<(u32, String), BTreeMap<Suite, Outcome>>,
}

/// What a row did on one kernel.
#[derive(Debug, Default)]
struct Outcome {
    verdict: Verdict,
    reports: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Verdict {
    #[default]
    NotRun,
    Passed,
    Failed,
}

/// The figures of a writer.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Figures {
    failed: u64,
    longest_seconds: f64,
    recovery_seconds: Option<f64>,
}

impl Faults {
    /// An empty table with a column for each of these kernels.
    #[must_use]
    pub fn new(suites: &[Suite]) -> Self {
        Self {
            suites: suites.to_vec(),
            rows: BTreeMap::new(),
        }
    }

    /// Takes one line of the tests: a verdict, a report, or anything else.
    pub fn hear(&mut self, line: &str) {
        if let Some((suite, name, verdict)) = parse_verdict(line) {
            if let Some(outcome) = self.outcome(suite, name) {
                outcome.verdict = verdict;
            }
        } else if let Some((suite, name, report)) = parse_report(line)
            && let Some(outcome) = self.outcome(suite, name)
        {
            outcome.reports.push(report.to_owned());
        }
    }

    /// The place of a row that exists, or may exist, on a kernel of the table.
    fn outcome(&mut self, suite: Suite, name: &str) -> Option<&mut Outcome> {
        let (number, what) = name.strip_prefix(ROW)?.split_once('_')?;
        let key = (number.parse().ok()?, what.replace('_', " "));
        let known = self.suites.contains(&suite);
        known.then(|| self.rows.entry(key).or_default().entry(suite).or_default())
    }

    /// The rows that have no test among those that were chosen.
    fn missing(&self) -> Vec<String> {
        let has_test = |number: &u32| self.rows.keys().any(|(row, _)| row == number);
        (1..=LAST_ROW)
            .filter(|number| !has_test(number))
            .map(|number| number.to_string())
            .collect()
    }

    /// What is said of a row on one kernel.
    fn cell(&self, key: &(u32, String), suite: Suite) -> String {
        let outcome = self.rows.get(key).and_then(|outcomes| outcomes.get(&suite));
        match outcome.map(|outcome| (outcome.verdict, outcome)) {
            None | Some((Verdict::NotRun, _)) => "not run".to_owned(),
            Some((Verdict::Failed, _)) => "**FAILED**".to_owned(),
            Some((Verdict::Passed, outcome)) => summarise(&outcome.reports),
        }
    }
}

/// The table in markdown, and what is missing from it.
impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "| row | what happens |")?;
        for suite in &self.suites {
            write!(formatter, " {suite} |")?;
        }
        write!(formatter, "\n|---|---|{}", "---|".repeat(self.suites.len()))?;
        for key in self.rows.keys() {
            let (number, what) = key;
            write!(formatter, "\n| {number} | {what} |")?;
            for suite in &self.suites {
                write!(formatter, " {} |", self.cell(key, *suite))?;
            }
        }
        writeln!(formatter)?;
        let missing = self.missing();
        if !missing.is_empty() {
            writeln!(
                formatter,
                "\nNo test was chosen for rows {}.",
                missing.join(", ")
            )?;
        }
        Ok(())
    }
}

/// `test [REASON] SUITE::NAME ... ok`, the form of libtest; the reason is that of an ignored test.
fn parse_verdict(line: &str) -> Option<(Suite, &str, Verdict)> {
    let (test, verdict) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let (suite, name) = test.split_whitespace().last()?.split_once("::")?;
    let verdict = match verdict.trim() {
        "ok" => Verdict::Passed,
        "FAILED" => Verdict::Failed,
        _ => Verdict::NotRun,
    };
    Some((suite.parse().ok()?, name, verdict))
}

/// `SUITE: NAME: REPORT`.
fn parse_report(line: &str) -> Option<(Suite, &str, &str)> {
    let (suite, rest) = line.split_once(": ")?;
    let (name, report) = rest.split_once(": ")?;
    let is_name = !name.contains(char::is_whitespace);
    is_name.then_some((suite.parse().ok()?, name, report))
}

/// `WHAT: 41 writes, 0 failed, longest 2.7 s, back in 1.3 s`; the last is missing where no target returns.
fn parse_figures(report: &str) -> Option<Figures> {
    let (_, figures) = report.rsplit_once(": ")?;
    let mut parts = figures.split(", ");
    let _writes: u64 = parts.next()?.strip_suffix(" writes")?.parse().ok()?;
    let failed = parts.next()?.strip_suffix(" failed")?.parse().ok()?;
    let longest_seconds = seconds(parts.next()?.strip_prefix("longest ")?)?;
    let recovery_seconds = match parts.next() {
        Some(recovery) => Some(seconds(recovery.strip_prefix("back in ")?)?),
        None => None,
    };
    parts.next().is_none().then_some(Figures {
        failed,
        longest_seconds,
        recovery_seconds,
    })
}

fn seconds(text: &str) -> Option<f64> {
    let seconds: f64 = text.strip_suffix(" s")?.parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then_some(seconds)
}

/// The worst of all figures of a row; what is no figure as it was said.
fn summarise(reports: &[String]) -> String {
    let figures: Vec<_> = reports
        .iter()
        .filter_map(|text| parse_figures(text))
        .collect();
    let worst = (!figures.is_empty()).then(|| worst(&figures));
    let others = reports.iter().filter(|text| parse_figures(text).is_none());
    let all: Vec<_> = worst.into_iter().chain(others.cloned()).collect();
    match all.is_empty() {
        true => "passed".to_owned(),
        false => all.join("; "),
    }
}

fn worst(figures: &[Figures]) -> String {
    let failed: u64 = figures.iter().map(|figures| figures.failed).sum();
    let longest = figures.iter().map(|figures| figures.longest_seconds);
    let longest = longest.fold(0.0, f64::max);
    let recoveries = figures.iter().map(|figures| figures.recovery_seconds);
    match recoveries.flatten().reduce(f64::max) {
        Some(recovery) => {
            format!("{failed} failed, longest {longest:.1} s, back in {recovery:.1} s")
        }
        None => format!("{failed} failed, longest {longest:.1} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(suites: &[Suite], lines: &str) -> String {
        let mut faults = Faults::new(suites);
        lines.lines().for_each(|line| faults.hear(line));
        faults.to_string()
    }

    #[test]
    fn each_row_shows_its_worst_figures_on_each_kernel() {
        let text = table(
            &[Suite::Trixie, Suite::Sid],
            "trixie: row_10_other: row 10, idle: 41 writes, 0 failed, longest 2.7 s, back in 1.3 s\n\
            trixie: row_10_other: row 10, busy: 9 writes, 0 failed, longest 1.0 s, back in 2.5 s\n\
            sid: row_2_late: row 2, late, Filesystem(\"ext4\"): 5 writes, 0 failed, longest 0.4 s\n\
            test trixie::row_10_other        ... ok\n\
            test sid::row_10_other           ... FAILED\n\
            test sid::row_2_late             ... ok\n\
            test [run `cargo lab faults`] trixie::row_2_late ... ignored\n\
            test trixie::connects ... ok\n",
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..4],
            [
                "| row | what happens | trixie | sid |",
                "|---|---|---|---|",
                "| 2 | late | not run | 0 failed, longest 0.4 s |",
                "| 10 | other | 0 failed, longest 2.7 s, back in 2.5 s | **FAILED** |",
            ]
        );
        assert!(text.contains("for rows 1, 3, 4,"), "{text}");
    }

    #[test]
    fn figures_of_many_writers_are_one_beside_what_else_was_said() {
        let text = table(
            &[Suite::Sid],
            "sid: row_16_fleet: row 16, one: 1 writes, 0 failed, longest 2.0 s\n\
            sid: row_16_fleet: row 16, one: 1 writes, 0 failed, longest 3.0 s\n\
            sid: row_16_fleet: row 16, 64 volumes: all after 4.0 s\n\
            test sid::row_16_fleet ... ok",
        );
        let cell = "| 0 failed, longest 3.0 s; row 16, 64 volumes: all after 4.0 s |";
        assert!(text.contains(cell), "{text}");
    }

    #[test]
    fn a_row_that_fails_is_in_the_table_once() {
        let text = table(
            &[Suite::Sid],
            "sid: row_17_flood FAILED: 713 exit status: 1\n\
            test sid::row_17_flood ... FAILED",
        );
        let rows = text.lines().filter(|line| line.starts_with("| 17 |"));
        assert_eq!(rows.collect::<Vec<_>>(), ["| 17 | flood | **FAILED** |"]);
    }

    #[test]
    fn a_report_without_a_verdict_is_not_run() {
        let text = table(
            &[Suite::Sid],
            "sid: row_1_cut: row 1: 5 writes, 0 failed, longest 0.4 s",
        );
        assert!(text.contains("| 1 | cut | not run |"), "{text}");
    }

    #[test]
    fn what_is_no_figure_is_shown_as_it_was_said() {
        let text = table(
            &[Suite::Sid],
            "sid: row_14_gone: row 14, gone: failed after 10.3 s (EIO), gone 0.4 s later\n\
            test sid::row_14_gone ... ok\n\
            test sid::row_7_idle ... ok",
        );
        assert!(
            text.contains("| row 14, gone: failed after 10.3 s"),
            "{text}"
        );
        assert!(text.contains("| 7 | idle | passed |"), "{text}");
    }

    #[test]
    fn figures_that_are_not_well_formed_are_none() {
        for report in [
            "",
            "row 2: 41 writes",
            "row 2: 41 writes, 0 failed",
            "row 2: 41 writes, 0 failed, longest 2.7",
            "row 2: 41 writes, 0 failed, longest NaN s",
            "row 2: x writes, 0 failed, longest 2.7 s",
            "row 2: 41 writes, 0 failed, longest 2.7 s, back in -1 s",
            "row 2: 41 writes, 0 failed, longest 2.7 s, back in 1 s, more",
        ] {
            assert_eq!(parse_figures(report), None, "{report}");
        }
    }

    #[test]
    fn lines_of_others_are_no_rows() {
        for line in [
            "",
            "test ",
            "test trixie::row_x_y ... ok",
            "test trixie::row_2 ... ok",
            "test buster::row_2_late ... ok",
            "test result: ok. 3 passed",
            "sid: Linux 7.2, Default",
        ] {
            let mut faults = Faults::new(&Suite::ALL);
            faults.hear(line);
            assert!(faults.rows.is_empty(), "{line}");
        }
    }
}
