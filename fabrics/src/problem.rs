//! What can be wrong with a set of options, said in terms of the kernel's tokens.

use nvme_sysfs::Transport;

use crate::token::{MAX_ENCODED, TokenSet};

/// Everything that is wrong with a set of options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct OptionsError {
    pub(crate) problems: Vec<OptionProblem>,
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionProblem {
    /// Not one of tcp, rdma, fc, loop.
    #[error("transport {0} cannot be connected: tcp, rdma, fc or loop is wanted")]
    Transport(Transport),
    /// The transport cannot do without it.
    #[error("{option} is required for transport {transport}")]
    Missing {
        /// What is missing.
        option: TokenSet,
        /// Who wants it.
        transport: Transport,
    },
    /// The transport does not take it.
    #[error("{option} is not allowed for transport {transport}")]
    NotAllowed {
        /// What is too much.
        option: TokenSet,
        /// Who refuses it.
        transport: Transport,
    },
    /// The value breaks a rule.
    #[error("{option} {value:?} {rule}")]
    Value {
        /// Whose value.
        option: TokenSet,
        /// The value; secrets are checked by their own type.
        value: String,
        /// What it must be.
        rule: String,
    },
    /// Two options go together.
    #[error("{option} needs {other}")]
    Needs {
        /// What was given.
        option: TokenSet,
        /// What was not.
        other: TokenSet,
    },
    /// Two options contradict each other.
    #[error("{option} and {other} exclude each other")]
    Excludes {
        /// One.
        option: TokenSet,
        /// The other.
        other: TokenSet,
    },
    /// The kernel takes one page.
    #[error("the options are {len} bytes long: the kernel takes at most {MAX_ENCODED}")]
    TooLong {
        /// Length of the encoded text.
        len: usize,
    },
}

impl OptionsError {
    /// The problems, in no particular order; never empty.
    #[must_use]
    pub fn problems(&self) -> &[OptionProblem] {
        &self.problems
    }
}

impl OptionProblem {
    /// The option that the problem is about, for a caller that names it otherwise.
    #[must_use]
    pub fn option(&self) -> Option<TokenSet> {
        match self {
            OptionProblem::Transport(_) => Some(TokenSet::TRANSPORT),
            OptionProblem::Missing { option, .. }
            | OptionProblem::NotAllowed { option, .. }
            | OptionProblem::Value { option, .. }
            | OptionProblem::Needs { option, .. }
            | OptionProblem::Excludes { option, .. } => Some(*option),
            OptionProblem::TooLong { .. } => None,
        }
    }
}
