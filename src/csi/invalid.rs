//! What is wrong with a request. It becomes INVALID_ARGUMENT, and nothing else does.

use thiserror::Error;

/// How much of a value is repeated, in bytes: kubelet shows the message in an event.
const SHOWN: usize = 512;

/// The field of a request that breaks a rule, the value where it is no secret, and the rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum InvalidRequest {
    /// It is not there, or empty.
    #[error("{field} is required")]
    Missing {
        /// The field.
        field: String,
    },
    /// It has a value that it cannot have.
    #[error("{field} {value:?} {rule}")]
    Value {
        /// The field.
        field: String,
        /// Its value.
        value: String,
        /// What it must be, or why it is refused.
        rule: String,
    },
    /// It must not be there, or its secret value is wrong.
    #[error("{field} {rule}")]
    Field {
        /// The field.
        field: String,
        /// What is wrong with it.
        rule: String,
    },
}

impl InvalidRequest {
    pub(super) fn missing(field: impl Into<String>) -> InvalidRequest {
        let field = field.into();
        InvalidRequest::Missing { field }
    }

    pub(super) fn value(
        field: impl Into<String>,
        value: impl Into<String>,
        rule: impl ToString,
    ) -> InvalidRequest {
        let mut value = value.into();
        value.truncate(value.floor_char_boundary(SHOWN));
        InvalidRequest::Value {
            field: field.into(),
            value,
            rule: rule.to_string(),
        }
    }

    pub(super) fn field(field: impl Into<String>, rule: impl ToString) -> InvalidRequest {
        InvalidRequest::Field {
            field: field.into(),
            rule: rule.to_string(),
        }
    }
}
