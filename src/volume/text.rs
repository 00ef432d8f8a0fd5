//! How the words of the kernel stand in a record: as text, the form in which administrators know
//! them. For `#[serde(with)]`, because the crates that own these types know nothing of records.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serializer, de};

pub(super) fn serialize<T: Display, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    parse(&String::deserialize(deserializer)?)
}

pub(super) fn parse<T: FromStr<Err: Display>, E: de::Error>(text: &str) -> Result<T, E> {
    text.parse().map_err(E::custom)
}

/// A text that may be absent.
pub(super) mod option {
    use super::*;

    pub(in crate::volume) fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::volume) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text: Option<String> = Option::deserialize(deserializer)?;
        text.as_deref().map(parse).transpose()
    }
}

/// Whole seconds, which is what the kernel's options count in.
pub(super) mod seconds {
    use std::time::Duration;

    use super::*;

    pub(in crate::volume) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_u64(value.as_secs()),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::volume) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let seconds: Option<u64> = Option::deserialize(deserializer)?;
        Ok(seconds.map(Duration::from_secs))
    }
}

/// The kernel's word for a transport.
pub(super) mod transport {
    use nvme_sysfs::Transport;

    use super::*;

    pub(in crate::volume) fn serialize<S: Serializer>(
        value: &Transport,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in crate::volume) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Transport, D::Error> {
        match Transport::from(String::deserialize(deserializer)?.as_str()) {
            Transport::Other(word) => Err(de::Error::custom(format!("unknown transport {word:?}"))),
            transport => Ok(transport),
        }
    }
}

/// `only`, or the kind of an identifier and the identifier.
pub(super) mod selector {
    use nvme_sysfs::NamespaceSelector;

    use super::*;

    const ONLY: &str = "only";

    pub(in crate::volume) fn serialize<S: Serializer>(
        value: &NamespaceSelector,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            NamespaceSelector::Only => serializer.serialize_str(ONLY),
            NamespaceSelector::Nsid(id) => serializer.collect_str(&format_args!("nsid {id}")),
            NamespaceSelector::Uuid(id) => serializer.collect_str(&format_args!("uuid {id}")),
            NamespaceSelector::Nguid(id) => serializer.collect_str(&format_args!("nguid {id}")),
            NamespaceSelector::Eui64(id) => serializer.collect_str(&format_args!("eui64 {id}")),
        }
    }

    pub(in crate::volume) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<NamespaceSelector, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.split_once(' ') {
            None if text == ONLY => Ok(NamespaceSelector::Only),
            Some(("nsid", id)) => parse(id).map(NamespaceSelector::Nsid),
            Some(("uuid", id)) => parse(id).map(NamespaceSelector::Uuid),
            Some(("nguid", id)) => parse(id).map(NamespaceSelector::Nguid),
            Some(("eui64", id)) => parse(id).map(NamespaceSelector::Eui64),
            _ => Err(de::Error::custom(format!("unknown selector {text:?}"))),
        }
    }
}
