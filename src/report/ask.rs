//! One question to the API server, and what its answer means for the next.

use std::future::Future;
use std::time::Duration;

use kube::config::InClusterError;
use kube::core::Status;
use thiserror::Error;
use tokio::time::timeout;

/// How long the API server may take for one answer: it gives up itself after a minute, and nothing
/// waits but other events.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why the API server did not do what it was asked.
#[derive(Debug, Error)]
pub enum ApiError {
    /// What tells a pod where the API server is and who asks cannot be read.
    #[error("cannot tell where the API server is")]
    Config(#[from] InClusterError),
    /// No client can be made of that.
    #[error("cannot make a client of the API server")]
    Client(#[source] Box<kube::Error>),
    /// It takes too long.
    #[error("the API server does not answer")]
    Late,
    /// It refused, or cannot be reached.
    #[error("the API server cannot be asked")]
    Call(#[source] Box<kube::Error>),
}

/// What an error means for the next question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Meaning {
    /// There is no way to it.
    NoWay,
    /// There is nobody to ask now.
    NoAnswer,
    /// It takes too long.
    Late,
    /// It does not know us now: a token has expired, or is not valid yet.
    Unknown,
    /// It has trouble with this question, and perhaps with others.
    Trouble(u16),
    /// It does not let us, or has not yet read its rules.
    Forbidden,
    /// It never will.
    Refused(u16),
}

impl ApiError {
    /// What that means for the next question.
    pub(super) fn meaning(&self) -> Meaning {
        match self.code() {
            None => self.silence(),
            Some(401) => Meaning::Unknown,
            Some(403) => Meaning::Forbidden,
            // Too slow, too many, another was first, what was listed has changed.
            Some(code @ (408 | 409 | 410 | 425 | 429)) => Meaning::Trouble(code),
            Some(code @ 400..500) => Meaning::Refused(code),
            Some(code) => Meaning::Trouble(code),
        }
    }

    /// Whether another question may be answered all the same.
    pub(super) fn is_of_its_own(&self) -> bool {
        match self.meaning() {
            Meaning::Late | Meaning::Trouble(_) | Meaning::Forbidden | Meaning::Refused(_) => true,
            Meaning::NoWay | Meaning::NoAnswer | Meaning::Unknown => false,
        }
    }

    /// Whether what was asked for does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Whether this program may not ask that: it has no rights, or no valid token.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.code(), Some(401 | 403))
    }

    /// Whether what was to be made exists. A quota that changes answers with the same code.
    pub(super) fn is_there(&self) -> bool {
        self.status()
            .is_some_and(|status| status.code == 409 && status.reason == "AlreadyExists")
    }

    fn silence(&self) -> Meaning {
        match self {
            ApiError::Config(_) | ApiError::Client(_) => Meaning::NoWay,
            ApiError::Late => Meaning::Late,
            ApiError::Call(_) => Meaning::NoAnswer,
        }
    }

    fn code(&self) -> Option<u16> {
        self.status().map(|status| status.code)
    }

    fn status(&self) -> Option<&Status> {
        match self {
            ApiError::Call(error) => match error.as_ref() {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            ApiError::Config(_) | ApiError::Client(_) | ApiError::Late => None,
        }
    }
}

/// Waits for an answer of the API server, for a while.
pub(super) async fn ask_patiently<T>(
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, ApiError> {
    match timeout(PATIENCE, call).await {
        Ok(answer) => answer.map_err(|error| ApiError::Call(Box::new(error))),
        Err(_) => Err(ApiError::Late),
    }
}
